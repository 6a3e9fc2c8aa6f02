-- All reads use the view, which computes decimals and the derived status.

-- columns: shown
-- The fields of a payment in the API (contracts/api.py).
id
order_id
user_id
status
amount::text
amount_captured::text
amount_refunded::text
currency
provider
provider_payment_id
capture_method
capture_before
expires_at
created_at
updated_at

-- name: payment
SELECT {shown}
FROM payments_decimal
WHERE id = $1

-- name: newest_names
SELECT id, order_id, attempt FROM payments ORDER BY created_at DESC, id DESC LIMIT 1

-- name: payment_exists
SELECT EXISTS (SELECT FROM payments WHERE id = $1)

-- Lists of payments, the newest first: created at $1 or later, after the cursor ($2, $3), at most $4.

-- name: payments_of_order
-- An order has few payments, so the other filters need no index.
SELECT {shown}
FROM payments_decimal
WHERE order_id = $5 AND created_at >= $1 AND (created_at, id) < ($2, $3::uuid)
  AND ($6::text IS NULL OR user_id = $6) AND ($7::text IS NULL OR status = $7) AND ($8::text IS NULL OR currency = $8)
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: payments_of_user
-- A user has few payments, too.
SELECT {shown}
FROM payments_decimal
WHERE user_id = $5 AND user_id <> '' AND created_at >= $1 AND (created_at, id) < ($2, $3::uuid)
  AND ($6::text IS NULL OR status = $6) AND ($7::text IS NULL OR currency = $7)
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: payments_by_time
SELECT {shown}
FROM payments_decimal
WHERE created_at >= $1 AND (created_at, id) < ($2, $3::uuid)
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: payments_by_status
-- One index serves a status, a currency, or both: a missing filter becomes the list of all its values, and the newest rows of
-- each pair are merged. A pair without payments costs one index lookup, and a rare one needs no scan.
SELECT p.*
FROM unnest($5::text[]) AS s (status)
CROSS JOIN unnest($6::text[]) AS c (currency)
CROSS JOIN LATERAL (
    SELECT {shown}
    FROM payments_decimal d
    WHERE d.status = s.status AND d.currency = c.currency AND d.created_at >= $1 AND (d.created_at, d.id) < ($2, $3::uuid)
    ORDER BY created_at DESC, id DESC
    LIMIT $4
) p
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: events
SELECT id, event_type AS type, provider_event_id, processed, result, occurred_at, created_at
FROM payment_events
WHERE payment_id = $1 AND (occurred_at, id) > ($2, $3::uuid)
ORDER BY occurred_at, id
LIMIT $4
