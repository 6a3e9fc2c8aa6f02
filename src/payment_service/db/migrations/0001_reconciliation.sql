-- Runs of reconciliation, and the differences that they found. 0001_comments.sql has the comments.

CREATE TABLE reconciliations (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    since       timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    changed_since timestamptz,
    state       text        NOT NULL DEFAULT 'running' CONSTRAINT reconciliations_state_is_known CHECK (state IN ('running', 'finished')),
    comparison  text        NOT NULL DEFAULT '',
    position    text        NOT NULL DEFAULT '',
    compared    bigint      NOT NULL DEFAULT 0,
    ignored     bigint      NOT NULL DEFAULT 0,
    found       bigint      NOT NULL DEFAULT 0,
    repaired    bigint      NOT NULL DEFAULT 0,
    postponed   bigint      NOT NULL DEFAULT 0,
    holder      uuid        NOT NULL,
    lease_until timestamptz NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT reconciliations_window_is_not_empty CHECK (since < until),
    CONSTRAINT reconciliations_finished_has_a_time CHECK ((state = 'finished') = (finished_at IS NOT NULL))
);
CREATE UNIQUE INDEX reconciliations_one_runs ON reconciliations (state) WHERE state = 'running';
CREATE INDEX reconciliations_by_time ON reconciliations (started_at, id);
CREATE INDEX reconciliations_finished ON reconciliations (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE reconciliation_objects (
    reconciliation_id uuid NOT NULL,
    object_id         text NOT NULL,
    PRIMARY KEY (reconciliation_id, object_id)
);

CREATE TABLE differences (
    code          text        NOT NULL,
    subject       text        NOT NULL,
    sides         text        NOT NULL CONSTRAINT differences_sides_are_known CHECK (sides IN ('provider', 'events', 'rows', 'topics')),
    provider      text        NOT NULL DEFAULT '',
    payment_id    uuid,
    detail        text        NOT NULL,
    occurred_at   timestamptz NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    resolved_at   timestamptz,
    repaired      boolean     NOT NULL DEFAULT false,
    CONSTRAINT differences_repaired_is_resolved CHECK (NOT repaired OR resolved_at IS NOT NULL),
    PRIMARY KEY (code, subject)
);
CREATE INDEX differences_open ON differences (first_seen_at, code, subject) WHERE resolved_at IS NULL;
CREATE INDEX differences_of_payment ON differences (payment_id) WHERE payment_id IS NOT NULL;

-- Rows in the order of their creation, to find those that the provider does not have.
CREATE INDEX refunds_by_time ON refunds (created_at, id);
CREATE INDEX disputes_by_time ON disputes (created_at, id);
