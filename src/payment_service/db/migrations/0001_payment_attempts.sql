-- Apart from payments, whose rows are written more often. Rows are only written under the lock of their payment, so no foreign key
-- checks that it exists.
CREATE TABLE payment_attempts (
    payment_id          uuid        NOT NULL,
    name                text        NOT NULL,
    provider            text        NOT NULL,
    provider_charge_id  text,
    status              text        NOT NULL CONSTRAINT payment_attempts_status_is_known CHECK (status IN ('pending', 'declined', 'succeeded')),
    amount              bigint      NOT NULL CONSTRAINT payment_attempts_amount_in_range CHECK (amount BETWEEN 0 AND 999999999999),
    currency            text        NOT NULL CONSTRAINT payment_attempts_currency_is_lower_case CHECK (currency ~ '^[a-z]{3}$'),
    decline_code        text,
    decline_reason      text,
    payment_method_id   text,
    payment_method_type text,
    card_brand          text,
    card_last4          text        CONSTRAINT payment_attempts_last4_is_no_card_number CHECK (card_last4 ~ '^[0-9A-Z]{1,4}$'),
    card_funding        text,
    card_country        text,
    card_wallet         text,
    receipt_url         text,
    occurred_at         timestamptz NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (payment_id, name)
);
CREATE INDEX payment_attempts_of_charge ON payment_attempts (provider_charge_id) WHERE provider_charge_id IS NOT NULL;
CREATE INDEX payment_attempts_of_card ON payment_attempts (card_last4, in_major_units(amount, currency), occurred_at, payment_id)
    WHERE card_last4 IS NOT NULL;
