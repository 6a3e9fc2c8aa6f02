-- name: create
INSERT INTO api_keys (client, prefix, hash, scopes) VALUES ($1, $2, $3, $4::text[])

-- name: find
SELECT id, client, scopes FROM api_keys WHERE hash = $1 AND revoked_at IS NULL

-- name: revoke
UPDATE api_keys SET revoked_at = now() WHERE client = $1 AND revoked_at IS NULL RETURNING id
