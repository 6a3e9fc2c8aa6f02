-- name: lock
-- Only one request at a time runs under a key of a client. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended($1 || E'\n' || $2, 0))

-- name: find
SELECT fingerprint, result FROM idempotency_keys WHERE client = $1 AND key = $2

-- name: store
INSERT INTO idempotency_keys (client, key, fingerprint, result) VALUES ($1, $2, $3, $4::text::json)
