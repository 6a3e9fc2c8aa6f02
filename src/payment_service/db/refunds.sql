-- name: of_payments
-- A separate statement after the payments were locked. Their locks protect the refunds, too.
SELECT id, payment_id, provider_refund_id, amount, currency, status, reason, failure_code, bank_reference,
       expected_at, external, fact_rank, fact_at, fact_precedence, fact_source
FROM refunds
WHERE payment_id = ANY ($1::uuid[])

-- name: save
-- The request and the amount are written once, the status as often as the provider reports it.
INSERT INTO refunds (id, payment_id, provider, provider_refund_id, amount, currency, status, reason, failure_code, bank_reference,
                     expected_at, external, client, idempotency_key, fingerprint, metadata, fact_rank, fact_at, fact_precedence, fact_source)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
                     $11::timestamptz[], $12::boolean[], $13::text[], $14::text[], $15::bytea[], $16::jsonb[], $17::smallint[], $18::bigint[],
                     $19::smallint[], $20::text[])
ON CONFLICT (id) DO UPDATE
SET provider_refund_id = EXCLUDED.provider_refund_id, status = EXCLUDED.status, failure_code = EXCLUDED.failure_code,
    bank_reference = EXCLUDED.bank_reference, expected_at = EXCLUDED.expected_at,
    fact_rank = EXCLUDED.fact_rank, fact_at = EXCLUDED.fact_at, fact_precedence = EXCLUDED.fact_precedence,
    fact_source = EXCLUDED.fact_source, updated_at = now()
WHERE refunds.payment_id = EXCLUDED.payment_id AND refunds.amount = EXCLUDED.amount AND refunds.currency = EXCLUDED.currency
  AND (refunds.provider_refund_id IS NULL OR refunds.provider_refund_id = EXCLUDED.provider_refund_id)
RETURNING id

-- name: fingerprint_of
SELECT fingerprint FROM refunds WHERE id = $1
