-- A recovery after a restored backup (`payment-service recover`).

CREATE TABLE recovery (
    id          boolean     PRIMARY KEY DEFAULT true CONSTRAINT recovery_is_one_row CHECK (id),
    restored_to timestamptz NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

CREATE TABLE recovered_records (
    ce_id         uuid        PRIMARY KEY,
    payment_id    uuid        NOT NULL,
    attempt       integer     NOT NULL,
    sequence      integer     NOT NULL CONSTRAINT recovered_records_sequence_counts_from_1 CHECK (sequence >= 1),
    topic         text        NOT NULL,
    partition     integer     NOT NULL,
    record_offset bigint      NOT NULL,
    key           bytea,
    value         bytea,
    headers       json        NOT NULL,
    recorded_at   timestamptz NOT NULL
);
CREATE INDEX recovered_records_of_payment ON recovered_records (payment_id, sequence);
