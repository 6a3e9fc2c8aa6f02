-- name: refunds_of_objects
-- The refunds with these ids at the provider, or with these ids. $1 provider, $2 ids at the provider, $3 ids.
SELECT id, payment_id, provider_refund_id, amount, currency, status
FROM refunds
WHERE provider = $1 AND id IN (
    SELECT q.id FROM refunds q WHERE q.provider = $1 AND q.provider_refund_id = ANY ($2::text[])
    UNION
    SELECT unnest($3::uuid[])
)

-- name: disputes_of_objects
SELECT payment_id, provider_dispute_id, amount, currency, status, evidence_due_at
FROM disputes
WHERE provider = $1 AND provider_dispute_id = ANY ($2::text[])

-- name: finished_operations
-- Operations that have ended, or wait for an operator.
SELECT id FROM operations WHERE id = ANY ($1::uuid[]) AND state IN ('done', 'refused', 'parked')

-- Rows with an object at the provider, in the order of their creation: after ($2, $3), created until $4, at most $5.

-- name: payments_created
SELECT id, created_at, provider_payment_id AS object_id, id AS payment_id
FROM payments
WHERE provider = $1 AND provider_payment_id IS NOT NULL AND (created_at, id) > ($2, $3::uuid) AND created_at <= $4
ORDER BY created_at, id
LIMIT $5

-- name: refunds_created
SELECT id, created_at, provider_refund_id AS object_id, payment_id
FROM refunds
WHERE provider = $1 AND provider_refund_id IS NOT NULL AND (created_at, id) > ($2, $3::uuid) AND created_at <= $4
ORDER BY created_at, id
LIMIT $5

-- name: disputes_created
SELECT id, created_at, provider_dispute_id AS object_id, payment_id
FROM disputes
WHERE provider = $1 AND (created_at, id) > ($2, $3::uuid) AND created_at <= $4
ORDER BY created_at, id
LIMIT $5

-- The row of one object. $1 provider, $2 id at the provider.

-- name: payment_of_object
SELECT id, created_at, provider_payment_id AS object_id, id AS payment_id FROM payments WHERE provider = $1 AND provider_payment_id = $2

-- name: refund_of_object
SELECT id, created_at, provider_refund_id AS object_id, payment_id FROM refunds WHERE provider = $1 AND provider_refund_id = $2

-- name: dispute_of_object
SELECT id, created_at, provider_dispute_id AS object_id, payment_id FROM disputes WHERE provider = $1 AND provider_dispute_id = $2

-- name: published_causes
-- The events that these payments have published already.
SELECT payment_id, published_topic, cause FROM payment_history WHERE payment_id = ANY ($1::uuid[]) AND published_topic IS NOT NULL
