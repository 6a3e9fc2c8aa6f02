-- Amounts in major units, and derived statuses.

CREATE VIEW payments_decimal AS
SELECT id, order_id, user_id, provider, provider_payment_id, in_major_units(amount, currency) AS amount,
       in_major_units(captured, currency) AS amount_captured, in_major_units(refunded, currency) AS amount_refunded, currency,
       derived_status(status, captured, refunded) AS status, payment_method_id, payment_method_type, metadata, created_at, updated_at,
       capture_method, capture_before, expires_at
FROM payments;

CREATE VIEW refunds_decimal AS
SELECT id, payment_id, (SELECT order_id FROM payments WHERE payments.id = payment_id) AS order_id, status,
       in_major_units(amount, currency) AS amount, currency, reason, failure_code, bank_reference,
       CASE WHEN status IN ('pending', 'succeeded') THEN expected_at END AS expected_at, external,
       provider, provider_refund_id, metadata, created_at, updated_at
FROM refunds;

CREATE VIEW disputes_decimal AS
SELECT id, payment_id, (SELECT order_id FROM payments WHERE payments.id = payment_id) AS order_id, status,
       in_major_units(amount, currency) AS amount, currency, reason, evidence_due_at AS evidence_due_by, answer_by,
       provider, provider_dispute_id, created_at, updated_at
FROM disputes;
