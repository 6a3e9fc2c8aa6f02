-- When the provider is asked after what is open, with no webhook at all (I16).

CREATE TABLE polls (
    payment_id uuid        PRIMARY KEY CONSTRAINT polls_of_a_payment REFERENCES payments (id),
    provider   text        NOT NULL,
    due_at     timestamptz NOT NULL,
    tries      integer     NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX polls_due ON polls (provider, due_at);

CREATE TABLE event_positions (
    provider          text        PRIMARY KEY,
    events_read_until bigint      NOT NULL,
    window_until      bigint,
    events_after      text        NOT NULL DEFAULT '',
    clock_ahead_s     integer     NOT NULL DEFAULT 0,
    round             bigint      NOT NULL DEFAULT 0,
    failures          integer     NOT NULL DEFAULT 0,
    events_due_at     timestamptz NOT NULL DEFAULT now(),
    events_claimed_at timestamptz NOT NULL DEFAULT now()
);
