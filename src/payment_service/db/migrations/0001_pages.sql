CREATE TABLE page_logins (
    token_hash bytea       PRIMARY KEY CONSTRAINT page_logins_hash_is_sha256 CHECK (octet_length(token_hash) = 32),
    person     text        NOT NULL CONSTRAINT page_logins_person_is_1_to_64 CHECK (length(person) BETWEEN 1 AND 64),
    roles      text[]      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);

CREATE TABLE approvals (
    id           uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    payment_id   uuid        NOT NULL CONSTRAINT approvals_of_a_payment REFERENCES payments,
    amount       bigint      NOT NULL CONSTRAINT approvals_amount_is_positive CHECK (amount > 0),
    currency     text        NOT NULL,
    reason       text        NOT NULL DEFAULT '',
    requested_by text        NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    decision     text        CONSTRAINT approvals_decision_is_known CHECK (decision IN ('approved', 'declined')),
    decided_by   text,
    decided_at   timestamptz,
    CONSTRAINT approvals_by_two_people CHECK (decision IS DISTINCT FROM 'approved' OR lower(decided_by) <> lower(requested_by)),
    CONSTRAINT approvals_decided_by_a_person CHECK ((decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL))
);
CREATE INDEX approvals_open ON approvals (requested_at) WHERE decision IS NULL;
CREATE INDEX approvals_of_payment ON approvals (payment_id);

CREATE INDEX payment_attempts_declined ON payment_attempts (occurred_at) WHERE status = 'declined';

COMMENT ON TABLE page_logins IS 'One-time links into the operators'' pages, printed by `payment-service pages login`.';
COMMENT ON COLUMN page_logins.token_hash IS 'SHA-256 of the token in the link. The token itself is stored nowhere.';
COMMENT ON TABLE approvals IS 'Refunds above a person''s limit. A second person approves each before it expires.';
COMMENT ON COLUMN approvals.amount IS 'In minor units of the currency.';
COMMENT ON COLUMN approvals.decision IS 'NULL: open until expires_at.';
