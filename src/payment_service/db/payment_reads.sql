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
payment_method_id
metadata::text
capture_method
capture_before
expires_at
created_at
updated_at

-- name: payment
SELECT {shown}
FROM payments_decimal
WHERE id = $1

-- name: payments_by_id
SELECT {shown}
FROM payments_decimal
WHERE id = ANY ($1::uuid[])
ORDER BY created_at DESC, id DESC

-- name: newest_names
SELECT id, order_id, attempt FROM payments ORDER BY created_at DESC, id DESC LIMIT 1

-- name: payment_exists
SELECT EXISTS (SELECT FROM payments WHERE id = $1)

-- Lists of payments, the newest first: created at $1 or later, after the cursor ($2, $3), at most $4. The sort keys begin with
-- the columns of the filter, and the filter is a row comparison: no other index returns this order. With equalities, the planner
-- walks payments_by_time to its end in search of a value that nobody has (ADR 0009).

-- name: payments_by_time
SELECT {shown}
FROM payments_decimal
WHERE created_at >= $1 AND (created_at, id) < ($2, $3::uuid)
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: payments_of_order
-- An order has few payments, so the other filters need no index. Only the index of orders can serve the first query.
WITH of_order AS MATERIALIZED (SELECT {shown} FROM payments_decimal WHERE order_id = $5)
SELECT *
FROM of_order
WHERE created_at >= $1 AND (created_at, id) < ($2, $3::uuid)
  AND ($6::text IS NULL OR user_id = $6) AND ($7::text IS NULL OR status = $7) AND ($8::text IS NULL OR currency = $8)
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: payments_of_user
-- All users may share an id (guests), so a user may have every payment. The pairs of status and currency that the user has are
-- found by one index lookup each, and the newest payments of each pair are merged.
WITH RECURSIVE pairs AS (
    (SELECT user_id, status, currency
     FROM payments_decimal
     WHERE user_id <> '' AND (user_id, status, currency) > ($5, '', '')
     ORDER BY user_id, status, currency
     LIMIT 1)
    UNION ALL
    SELECT following.*
    FROM pairs
    CROSS JOIN LATERAL (
        SELECT user_id, status, currency
        FROM payments_decimal d
        WHERE d.user_id <> '' AND (d.user_id, d.status, d.currency) > (pairs.user_id, pairs.status, pairs.currency)
        ORDER BY d.user_id, d.status, d.currency
        LIMIT 1
    ) following
    WHERE pairs.user_id = $5
)
SELECT p.*
FROM pairs
CROSS JOIN LATERAL (
    SELECT {shown}
    FROM payments_decimal d
    WHERE d.user_id <> ''
      AND (d.user_id, d.status, d.currency, d.created_at) >= (pairs.user_id, pairs.status, pairs.currency, $1)
      AND (d.user_id, d.status, d.currency, d.created_at, d.id) < (pairs.user_id, pairs.status, pairs.currency, $2, $3::uuid)
    ORDER BY d.user_id DESC, d.status DESC, d.currency DESC, d.created_at DESC, d.id DESC
    LIMIT $4
) p
WHERE pairs.user_id = $5 AND ($6::text IS NULL OR pairs.status = $6) AND ($7::text IS NULL OR pairs.currency = $7)
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: payments_by_status
-- The currencies of the status $5 are found by one index lookup each, and the newest payments of each are merged.
WITH RECURSIVE pairs AS (
    (SELECT status, currency
     FROM payments_decimal
     WHERE (status, currency) > ($5, '')
     ORDER BY status, currency
     LIMIT 1)
    UNION ALL
    SELECT following.*
    FROM pairs
    CROSS JOIN LATERAL (
        SELECT status, currency
        FROM payments_decimal d
        WHERE (d.status, d.currency) > (pairs.status, pairs.currency)
        ORDER BY d.status, d.currency
        LIMIT 1
    ) following
    WHERE pairs.status = $5
)
SELECT p.*
FROM pairs
CROSS JOIN LATERAL (
    SELECT {shown}
    FROM payments_decimal d
    WHERE (d.status, d.currency, d.created_at) >= (pairs.status, pairs.currency, $1)
      AND (d.status, d.currency, d.created_at, d.id) < (pairs.status, pairs.currency, $2, $3::uuid)
    ORDER BY d.status DESC, d.currency DESC, d.created_at DESC, d.id DESC
    LIMIT $4
) p
WHERE pairs.status = $5
ORDER BY created_at DESC, id DESC
LIMIT $4

-- name: payments_by_currency
-- The newest payments of each status ($5) in the currency $6 are merged. A status without payments costs one index lookup.
SELECT p.*
FROM unnest($5::text[]) AS s (status)
CROSS JOIN LATERAL (
    SELECT {shown}
    FROM payments_decimal d
    WHERE (d.status, d.currency, d.created_at) >= (s.status, $6, $1)
      AND (d.status, d.currency, d.created_at, d.id) < (s.status, $6, $2, $3::uuid)
    ORDER BY d.status DESC, d.currency DESC, d.created_at DESC, d.id DESC
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
