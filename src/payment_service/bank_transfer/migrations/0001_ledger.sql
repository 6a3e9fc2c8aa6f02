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
CREATE INDEX bank_intents_open ON bank_intents (amount, currency, created_at) WHERE status = 'pending';

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
CREATE INDEX bank_refunds_open ON bank_refunds (created_at, refund_id) WHERE status = 'pending';

COMMENT ON TABLE bank_intents IS 'Ledger of the provider bank_transfer: payments that a customer may make by bank transfer. Amounts are in minor units.';
COMMENT ON COLUMN bank_intents.reference IS 'ISO 11649 creditor reference, derived from the id of the payment.';
COMMENT ON COLUMN bank_intents.ended_at IS 'When the money was booked, or the intent canceled.';

COMMENT ON TABLE bank_transfers IS 'Ledger of the provider bank_transfer: incoming transfers, once each. Amounts are in minor units.';
COMMENT ON COLUMN bank_transfers.account IS 'IBAN of the shop.';
COMMENT ON COLUMN bank_transfers.transaction_id IS 'The id that the bank gave the transaction.';
COMMENT ON COLUMN bank_transfers.text IS 'What the customer wrote, with card numbers masked.';
COMMENT ON COLUMN bank_transfers.outcome IS 'Type of the resulting event. transfer.unmatched: no reference of this service; needs attention.';
COMMENT ON COLUMN bank_transfers.reference IS 'bank_intents.reference of the intent that the transfer names.';

COMMENT ON TABLE bank_refunds IS 'Ledger of the provider bank_transfer: transfers that the shop has to send back. Amounts are in minor units.';
COMMENT ON COLUMN bank_refunds.refund_id IS 'refunds.id.';
COMMENT ON COLUMN bank_refunds.failure IS 'Why the transfer failed; empty if it did not.';
