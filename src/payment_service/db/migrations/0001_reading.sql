-- Who reads the partitions of `orders.created` and `orders.cancelled`.

CREATE TABLE partition_readers (
    topic     text        NOT NULL,
    partition integer     NOT NULL,
    reader    uuid        NOT NULL,
    began_at  timestamptz NOT NULL DEFAULT now(),
    ended_at  timestamptz,
    CONSTRAINT partition_readers_one_per_partition PRIMARY KEY (topic, partition)
);
