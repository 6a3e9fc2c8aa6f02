-- name: create
-- Old links are deleted first: each is worth nothing a day after it expired.
WITH old AS (DELETE FROM page_logins WHERE expires_at < now() - interval '1 day')
INSERT INTO page_logins (token_hash, person, roles, expires_at) VALUES ($1, $2, $3, now() + $4::interval)

-- name: find
SELECT person, roles FROM page_logins WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now()

-- name: redeem
-- The condition on used_at lets one of two concurrent requests through.
UPDATE page_logins SET used_at = now() WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now() RETURNING person, roles
