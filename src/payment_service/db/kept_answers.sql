-- name: take_turn
-- One request at a time under a client's key. The lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended($1 || E'\n' || $2, 0))

-- name: find
SELECT fingerprint, result FROM kept_answers WHERE client = $1 AND key = $2

-- name: keep
INSERT INTO kept_answers (client, key, fingerprint, result) VALUES ($1, $2, $3, $4::text::json)
