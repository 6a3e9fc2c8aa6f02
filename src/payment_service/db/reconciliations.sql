-- Runs. The lease is by the clock of the database: $1 is the holder, and its seconds follow.

-- name: start
-- The unique index admits one run at a time.
INSERT INTO reconciliations (holder, lease_until, since, until, changed_since)
VALUES ($1, clock_timestamp() + $2::float8 * interval '1 s', $3, $4, $5)
ON CONFLICT (state) WHERE state = 'running' DO NOTHING
RETURNING id, since, until, changed_since, comparison, position, started_at

-- name: resume
-- Takes over a run whose process has died or released it.
UPDATE reconciliations SET holder = $1, lease_until = clock_timestamp() + $2::float8 * interval '1 s'
WHERE state = 'running' AND lease_until < clock_timestamp()
RETURNING id, since, until, changed_since, comparison, position, started_at

-- name: renew
UPDATE reconciliations SET lease_until = clock_timestamp() + $3::float8 * interval '1 s'
WHERE id = $2 AND holder = $1 AND state = 'running'
RETURNING id

-- name: release
UPDATE reconciliations SET lease_until = '-infinity' WHERE id = $2 AND holder = $1 AND state = 'running'

-- name: advance
UPDATE reconciliations
SET lease_until = clock_timestamp() + $3::float8 * interval '1 s', comparison = $4, position = $5, compared = compared + $6,
    ignored = ignored + $7, found = found + $8, repaired = repaired + $9, postponed = postponed + $10
WHERE id = $2 AND holder = $1 AND state = 'running'
RETURNING id

-- name: finish
UPDATE reconciliations SET state = 'finished', finished_at = now()
WHERE id = $2 AND holder = $1 AND state = 'running'
RETURNING id

-- name: is_due
-- True if the last run began longer than $1 seconds ago, or there was none.
SELECT NOT EXISTS (SELECT FROM reconciliations WHERE started_at > clock_timestamp() - $1::float8 * interval '1 s')

-- name: has_long_run
-- True if a run of at least $2 seconds began within the last $1 seconds.
SELECT EXISTS (SELECT FROM reconciliations
               WHERE started_at > clock_timestamp() - $1::float8 * interval '1 s' AND until - since >= $2::float8 * interval '1 s')

-- name: last_finished
SELECT max(started_at) FROM reconciliations WHERE finished_at IS NOT NULL

-- name: add_objects
INSERT INTO reconciliation_objects (reconciliation_id, object_id)
SELECT $1, object_id FROM unnest($2::text[]) AS v (object_id)
ON CONFLICT DO NOTHING

-- name: unlisted
SELECT object_id
FROM unnest($2::text[]) AS v (object_id)
WHERE NOT EXISTS (SELECT FROM reconciliation_objects o WHERE o.reconciliation_id = $1 AND o.object_id = v.object_id)

-- name: delete_objects
-- In slices, so that no statement is long.
DELETE FROM reconciliation_objects
WHERE (reconciliation_id, object_id) IN (
    SELECT reconciliation_id, object_id FROM reconciliation_objects WHERE reconciliation_id = $1 LIMIT $2
)

-- name: runs
-- The newest first, after the cursor ($1, $2), at most $3.
SELECT id, since, until, state, comparison, compared, ignored, found, repaired, postponed, started_at, finished_at
FROM reconciliations
WHERE (started_at, id) < ($1, $2::uuid)
ORDER BY started_at DESC, id DESC
LIMIT $3

-- name: run
SELECT id, since, until, state, comparison, compared, ignored, found, repaired, postponed, started_at, finished_at
FROM reconciliations
WHERE id = $1
