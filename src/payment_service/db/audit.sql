-- columns: shown
-- The fields of an entry in the API (contracts/api.py).
id
at
client
key_id
address
action
payment_id
why
detail::text

-- name: append
-- The mark makes the next seal cover the entry.
WITH written AS (
    INSERT INTO audit (client, key_id, address, action, payment_id, why, detail) VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb)
    RETURNING id
)
INSERT INTO audit_unsealed (audit_id) SELECT id FROM written

-- Lists, the newest first: at $1 or later, after the cursor ($2, $3), at most $4. The sort keys and the row comparisons name all
-- columns of the index, as in payment_reads.sql (ADR 0009).

-- name: by_time
SELECT {shown}
FROM audit
WHERE at >= $1 AND (at, id) < ($2, $3::text::bigint)
ORDER BY at DESC, id DESC
LIMIT $4

-- name: by_client
SELECT {shown}
FROM audit
WHERE (client, at) >= ($5, $1) AND (client, at, id) < ($5, $2, $3::text::bigint)
ORDER BY client DESC, at DESC, id DESC
LIMIT $4

-- name: by_action
SELECT {shown}
FROM audit
WHERE (action, at) >= ($5, $1) AND (action, at, id) < ($5, $2, $3::text::bigint)
ORDER BY action DESC, at DESC, id DESC
LIMIT $4

-- name: of_payment
-- A payment has few entries. Only the index of payments can serve the first query.
WITH of_payment AS MATERIALIZED (SELECT {shown} FROM audit WHERE payment_id = $5)
SELECT *
FROM of_payment
WHERE at >= $1 AND (at, id) < ($2, $3::text::bigint)
ORDER BY at DESC, id DESC
LIMIT $4
