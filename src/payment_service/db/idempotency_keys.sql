-- name: take_turn
-- One request at a time under a client's key. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended($1 || E'\n' || $2, 0))

-- name: find
SELECT fingerprint, status, body FROM idempotency_keys WHERE client = $1 AND key = $2

-- name: keep
INSERT INTO idempotency_keys (client, key, fingerprint, status, body) VALUES ($1, $2, $3, $4, $5)
