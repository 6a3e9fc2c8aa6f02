-- All reads use the views, which compute decimals.

-- name: refund
SELECT id, payment_id, status, amount::text, currency, reason, failure_code, external, provider, provider_refund_id,
       metadata::text, created_at, updated_at
FROM refunds_decimal
WHERE id = $1

-- name: refunds
SELECT id, payment_id, status, amount::text, currency, reason, failure_code, external, provider, provider_refund_id,
       metadata::text, created_at, updated_at
FROM refunds_decimal
WHERE payment_id = $1 AND (created_at, id) < ($2, $3::uuid)
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: disputes
SELECT id, payment_id, status, amount::text, currency, reason, evidence_due_by, provider, provider_dispute_id, created_at, updated_at
FROM disputes_decimal
WHERE payment_id = $1 AND (created_at, id) < ($2, $3::uuid)
ORDER BY created_at DESC, id DESC
LIMIT $4
