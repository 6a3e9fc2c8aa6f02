-- name: begin
-- Old sessions are deleted first: each is worth nothing a day after it expired.
WITH old AS (DELETE FROM page_sessions WHERE expires_at < now() - interval '1 day')
INSERT INTO page_sessions (id_hash, person, roles, expires_at) VALUES ($1, $2, $3, now() + $4::interval)

-- name: find
SELECT person, roles FROM page_sessions WHERE id_hash = $1 AND ended_at IS NULL AND expires_at > now()

-- name: end
UPDATE page_sessions SET ended_at = now() WHERE id_hash = $1 AND ended_at IS NULL

-- name: end_of
-- NULL: of everybody.
UPDATE page_sessions SET ended_at = now()
WHERE ended_at IS NULL AND expires_at > now() AND ($1::text IS NULL OR lower(person) = lower($1))
RETURNING person

-- name: end_links_of
-- A link that nobody has used yet would begin another session.
UPDATE page_logins SET used_at = now()
WHERE used_at IS NULL AND expires_at > now() AND ($1::text IS NULL OR lower(person) = lower($1))
