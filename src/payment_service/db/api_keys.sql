-- name: create
INSERT INTO api_keys (client, prefix, hash, scopes) VALUES ($1, $2, $3, $4::text[])

-- name: find
SELECT id, client, scopes FROM api_keys WHERE hash = $1 AND revoked_at IS NULL

-- name: listed
SELECT id, client, prefix, scopes, created_at, revoked_at FROM api_keys
WHERE ($1::text IS NULL OR client = $1) AND ($2 OR revoked_at IS NULL)
ORDER BY created_at, id

-- name: revoke
-- Also returns keys that were already revoked, with their first time.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 OR ($1 IS NULL AND client = $2)
RETURNING id, client, prefix, scopes, created_at, revoked_at
