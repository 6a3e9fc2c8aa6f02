-- name: create
-- Several processes may start first; the first one inserts the row.
INSERT INTO installation (id, deployment) VALUES (gen_random_uuid(), $1) ON CONFLICT DO NOTHING

-- name: read
SELECT id, deployment, created_at, account, livemode, claimed_at FROM installation

-- name: database
-- A copy of a database has another oid or is in another cluster. A replica that was promoted has the same ones.
SELECT (SELECT system_identifier FROM pg_control_system()) || '-' || oid FROM pg_database WHERE datname = current_database()

-- name: confirm
UPDATE installation
SET account = coalesce(nullif($1, ''), account), livemode = $2, claimed_at = CASE WHEN $3 THEN coalesce(claimed_at, now()) ELSE claimed_at END
RETURNING id, deployment, created_at, account, livemode, claimed_at

-- name: move
-- The name is claimed anew, at the account and in the mode of the current key.
UPDATE installation
SET account = nullif($1, ''), livemode = $2, claimed_at = now()
RETURNING id, deployment, created_at, account, livemode, claimed_at
