-- What the tables of 0001 get for the whole life of a payment. Each is locked for a moment: nothing here reads a row of
-- them or writes a file. Constraints hold from now on; 0004 looks whether they did before.

ALTER TABLE payments
    ADD COLUMN capture_method text NOT NULL DEFAULT 'automatic',
    ADD COLUMN expires_at     timestamptz,  -- when an unpaid payment is to be canceled; NULL: never
    ADD COLUMN expiry_due_at  timestamptz,  -- when the clock looks at it (again)
    ADD CONSTRAINT payments_capture_method_is_known CHECK (capture_method IN ('automatic', 'manual')) NOT VALID;
ALTER TABLE refunds ADD CONSTRAINT refunds_of_a_payment FOREIGN KEY (payment_id) REFERENCES payments (id) NOT VALID;
ALTER TABLE disputes ADD CONSTRAINT disputes_of_a_payment FOREIGN KEY (payment_id) REFERENCES payments (id) NOT VALID;

-- How the last attempts of a call ended: [{attempt, epoch, at, sent_at (null: it only read), outcome, code, provider_request_id}].
ALTER TABLE operations ADD COLUMN attempts jsonb NOT NULL DEFAULT '[]';

-- The share of the budget that customers who wait at a checkout may take.
ALTER TABLE provider_budget
    ADD COLUMN checkout_tokens      double precision NOT NULL DEFAULT 0,
    ADD COLUMN checkout_refilled_at timestamptz      NOT NULL DEFAULT now();

-- When a record that was not accepted was decided again, by a person's wish, and accepted.
ALTER TABLE quarantine ADD COLUMN replayed_at timestamptz;

-- As it was, with the rules of 0002 in one place: an index finds what the view shows.
CREATE OR REPLACE VIEW payments_decimal AS
SELECT id, order_id, user_id, provider, provider_payment_id, in_major_units(amount, currency) AS amount,
       in_major_units(captured, currency) AS amount_captured, in_major_units(refunded, currency) AS amount_refunded, currency,
       shown_status(status, captured, refunded) AS status, payment_method_id, payment_method_type, metadata, created_at, updated_at,
       capture_method, expires_at
FROM payments;
