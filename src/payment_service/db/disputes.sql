-- name: of_payments
SELECT id, payment_id, provider_dispute_id, amount, currency, status, reason, evidence_due_at,
       funds_withdrawn, fact_rank, fact_at, fact_precedence, fact_source
FROM disputes
WHERE payment_id = ANY ($1::uuid[])

-- name: save
INSERT INTO disputes (id, payment_id, provider, provider_dispute_id, amount, currency, status, reason, evidence_due_at,
                      funds_withdrawn, fact_rank, fact_at, fact_precedence, fact_source)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::timestamptz[],
                     $10::boolean[], $11::smallint[], $12::bigint[], $13::smallint[], $14::text[])
ON CONFLICT (id) DO UPDATE
SET amount = EXCLUDED.amount, currency = EXCLUDED.currency, status = EXCLUDED.status, reason = EXCLUDED.reason,
    evidence_due_at = EXCLUDED.evidence_due_at, funds_withdrawn = EXCLUDED.funds_withdrawn, fact_rank = EXCLUDED.fact_rank, fact_at = EXCLUDED.fact_at,
    fact_precedence = EXCLUDED.fact_precedence, fact_source = EXCLUDED.fact_source, updated_at = now()
