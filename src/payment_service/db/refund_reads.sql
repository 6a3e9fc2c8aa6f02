-- All reads use the views, which compute decimals.

-- columns: refund
-- The fields of a refund in the API (contracts/api.py).
id
payment_id
order_id
status
amount::text
currency
reason
failure_code
bank_reference
expected_at
external
provider
provider_refund_id
metadata::text
created_at
updated_at

-- columns: dispute
-- The fields of a dispute in the API.
id
payment_id
order_id
status
amount::text
currency
reason
evidence_due_by
provider
provider_dispute_id
created_at
updated_at

-- name: refund
SELECT {refund}
FROM refunds_decimal
WHERE id = $1

-- name: refunds
SELECT {refund}
FROM refunds_decimal
WHERE payment_id = $1 AND (created_at, id) < ($2, $3::uuid)
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: dispute
SELECT {dispute}
FROM disputes_decimal
WHERE id = $1

-- name: disputes
SELECT {dispute}
FROM disputes_decimal
WHERE payment_id = $1 AND (created_at, id) < ($2, $3::uuid)
ORDER BY created_at DESC, id DESC
LIMIT $4

-- Lists over all payments: created at $1 or later, after the cursor ($2, $3), at most $4. The sort keys and the row comparisons
-- name all columns of the index, as in payment_reads.sql (ADR 0009).

-- name: refunds_by_time
SELECT {refund}
FROM refunds_decimal
WHERE created_at >= $1 AND (created_at, id) < ($2, $3::uuid)
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: refunds_by_status
SELECT {refund}
FROM refunds_decimal
WHERE (status, created_at) >= ($5, $1) AND (status, created_at, id) < ($5, $2, $3::uuid)
ORDER BY status DESC, created_at DESC, id DESC
LIMIT $4

-- name: disputes_by_time
SELECT {dispute}
FROM disputes_decimal
WHERE created_at >= $1 AND (created_at, id) < ($2, $3::uuid)
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: disputes_by_status
SELECT {dispute}
FROM disputes_decimal
WHERE (status, created_at) >= ($5, $1) AND (status, created_at, id) < ($5, $2, $3::uuid)
ORDER BY status DESC, created_at DESC, id DESC
LIMIT $4

-- name: disputes_to_answer
-- The earliest deadline first, and those without one last: after the cursor ($1, $2), at most $3.
SELECT {dispute}, answer_by
FROM disputes_decimal
WHERE status LIKE '%needs_response' AND (answer_by, id) > ($1, $2::uuid)
ORDER BY answer_by, id
LIMIT $3
