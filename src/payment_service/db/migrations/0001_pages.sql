CREATE TABLE page_logins (
    token_hash bytea       PRIMARY KEY CONSTRAINT page_logins_hash_is_sha256 CHECK (octet_length(token_hash) = 32),
    person     text        NOT NULL CONSTRAINT page_logins_person_is_1_to_64 CHECK (length(person) BETWEEN 1 AND 64),
    roles      text[]      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

CREATE TABLE page_sessions (
    id_hash    bytea       PRIMARY KEY CONSTRAINT page_sessions_hash_is_sha256 CHECK (octet_length(id_hash) = 32),
    person     text        NOT NULL CONSTRAINT page_sessions_person_is_1_to_64 CHECK (length(person) BETWEEN 1 AND 64),
    roles      text[]      NOT NULL,
    began_at   timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
);

CREATE TABLE approvals (
    id           uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    payment_id   uuid        NOT NULL CONSTRAINT approvals_of_a_payment REFERENCES payments,
    amount       bigint      NOT NULL CONSTRAINT approvals_amount_is_positive CHECK (amount > 0),
    currency     text        NOT NULL,
    reason       text        NOT NULL DEFAULT '',
    requested_by text        NOT NULL,
    client       text,
    key          text,
    key_id       uuid,
    parameters   jsonb       NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    decision     text        CONSTRAINT approvals_decision_is_known CHECK (decision IN ('approved', 'declined')),
    decided_by   text,
    decided_at   timestamptz,
    CONSTRAINT approvals_one_per_key UNIQUE (client, key),
    CONSTRAINT approvals_client_has_a_key CHECK ((client IS NULL) = (key IS NULL) AND (client IS NULL) = (key_id IS NULL)),
    CONSTRAINT approvals_by_two_people CHECK (decision IS DISTINCT FROM 'approved' OR lower(decided_by) <> lower(requested_by)),
    CONSTRAINT approvals_decided_by_a_person CHECK ((decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL))
);
CREATE INDEX approvals_open ON approvals (expires_at) WHERE decision IS NULL;
CREATE INDEX approvals_of_payment ON approvals (payment_id);

CREATE VIEW approvals_shown AS
SELECT id, payment_id, (SELECT order_id FROM payments WHERE payments.id = payment_id) AS order_id, amount, currency, reason, requested_by,
       client, key, parameters, requested_at, expires_at, expires_at <= now() AS expired, decision, decided_by, decided_at
FROM approvals;

CREATE INDEX payment_attempts_declined ON payment_attempts (occurred_at) WHERE status = 'declined';

COMMENT ON TABLE page_logins IS 'One-time links into the operators'' pages, printed by `payment-service pages login`.';
COMMENT ON COLUMN page_logins.token_hash IS 'SHA-256 of the token in the link. The token itself is stored nowhere.';
COMMENT ON TABLE page_sessions IS 'Logins at the operators'' pages, by link or OpenID Connect. A proxy keeps its own.';
COMMENT ON COLUMN page_sessions.id_hash IS 'SHA-256 of the id in the signed cookie. The id itself is stored nowhere.';
COMMENT ON COLUMN page_sessions.ended_at IS 'Logged out, by the person or by `payment-service pages logout`.';
COMMENT ON TABLE approvals IS 'Refunds above the limit of a person or of an API key. A second person approves each before it expires.';
COMMENT ON VIEW approvals_shown IS 'Approvals with their order, and whether they are expired by the clock of the database.';
COMMENT ON COLUMN approvals.requested_by IS 'The person, or the client of the API key in words.';
COMMENT ON COLUMN approvals.client IS 'Client of the API key that requested it, whose idempotency key is in `key`. NULL: a person requested it.';
COMMENT ON COLUMN approvals.parameters IS 'The requested refund, as the requester sent it.';
COMMENT ON COLUMN approvals.amount IS 'In minor units of the currency.';
COMMENT ON COLUMN approvals.decision IS 'NULL: open until expires_at.';
