-- The ledger of the provider bank_transfer, which has no servers of its own.

CREATE TABLE bank_intents (
    reference  text        PRIMARY KEY,
    payment_id uuid        NOT NULL,
    amount     bigint      NOT NULL CONSTRAINT bank_intents_amount_in_range CHECK (amount BETWEEN 1 AND 999999999999),
    currency   text        NOT NULL CONSTRAINT bank_intents_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    status     text        NOT NULL DEFAULT 'pending' CONSTRAINT bank_intents_status_is_known CHECK (status IN ('pending', 'succeeded', 'canceled')),
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    CONSTRAINT bank_intents_one_per_payment UNIQUE (payment_id),
    CONSTRAINT bank_intents_ended_has_a_time CHECK ((status = 'pending') = (ended_at IS NULL))
);
CREATE INDEX bank_intents_by_time ON bank_intents (created_at, reference);

CREATE TABLE bank_transfers (
    account        text        NOT NULL,
    transaction_id text        NOT NULL,
    amount         bigint      NOT NULL CONSTRAINT bank_transfers_amount_in_range CHECK (amount BETWEEN 1 AND 999999999999),
    currency       text        NOT NULL CONSTRAINT bank_transfers_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    booked_on      date        NOT NULL,
    text           text        NOT NULL,
    outcome        text        NOT NULL DEFAULT '',
    reference      text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, transaction_id)
);
CREATE INDEX bank_transfers_unmatched ON bank_transfers (transaction_id) WHERE outcome = 'transfer.unmatched';

CREATE TABLE bank_refunds (
    refund_id  uuid        PRIMARY KEY,
    payment_id uuid        NOT NULL,
    reference  text        NOT NULL CONSTRAINT bank_refunds_of_an_intent REFERENCES bank_intents (reference),
    amount     bigint      NOT NULL CONSTRAINT bank_refunds_amount_in_range CHECK (amount BETWEEN 1 AND 999999999999),
    currency   text        NOT NULL CONSTRAINT bank_refunds_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    status     text        NOT NULL DEFAULT 'pending' CONSTRAINT bank_refunds_status_is_known CHECK (status IN ('pending', 'succeeded', 'failed')),
    failure    text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX bank_refunds_of_intent ON bank_refunds (reference);
