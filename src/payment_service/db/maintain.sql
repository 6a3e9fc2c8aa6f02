-- name: now
SELECT now() AS now

-- name: partitions
-- Reading a bound locks its partition. MATERIALIZED prevents a plan that reads the bounds of other tables, which may be locked.
WITH partitions AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relpartbound
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = '{parent}'::regclass
)
SELECT relname AS name,
       (regexp_match(bound, 'FROM \(''([^'']+)''\)'))[1]::timestamptz AS since,
       (regexp_match(bound, 'TO \(''([^'']+)''\)'))[1]::timestamptz AS until
FROM partitions, pg_get_expr(relpartbound, oid) bound
WHERE bound LIKE 'FOR VALUES FROM (''%'
ORDER BY since

-- name: weeks_in_default
-- date_trunc uses the time zone of the session, UTC. A week begins on Monday 00:00.
SELECT DISTINCT date_trunc('week', {column}) AS since
FROM {default}
WHERE {column} >= {since} AND {column} < {until}
ORDER BY since

-- name: create_standalone
CREATE TABLE {partition} (LIKE {parent} INCLUDING ALL)

-- name: lock_default
-- No other session may insert a row of this range into the default partition between the move and ATTACH.
LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE

-- name: move_rows
WITH moved AS (DELETE FROM {default} WHERE {column} >= {since} AND {column} < {until} RETURNING *)
INSERT INTO {partition} SELECT * FROM moved

-- name: attach
ALTER TABLE {parent} ATTACH PARTITION {partition} FOR VALUES FROM ({since}) TO ({until})

-- name: count_unfinished
SELECT count(*) AS unfinished FROM {partition} WHERE {unfinished}

-- name: lock_parent
LOCK TABLE ONLY {parent} IN ACCESS EXCLUSIVE MODE

-- name: drop
DROP TABLE {partition}

-- name: delete_old_from_default
-- Tests both times, so that a late row is kept as long as any other.
DELETE FROM {default} WHERE {column} < {until} AND created_at < {until} AND NOT ({unfinished})

-- name: delete_idempotency_keys
-- 24 h are promised to callers. The rest is for clients that pause their retries for a day.
DELETE FROM idempotency_keys WHERE created_at < now() - interval '48 h'

-- name: delete_differences
-- Open differences stay. One that comes back is inserted again.
DELETE FROM differences
WHERE (code, subject) IN (SELECT code, subject FROM differences WHERE resolved_at < %(until)s LIMIT %(limit)s)
  AND resolved_at < %(until)s

-- name: delete_finished_reads
-- A read changes nothing at the provider, and what it found is in the payment's history. Rows of all other calls stay: they say what may
-- have been sent, under which key.
DELETE FROM operations
WHERE id IN (SELECT id FROM operations WHERE kind = 'retrieve' AND finished_at < %(until)s LIMIT %(limit)s)
  AND kind = 'retrieve' AND finished_at < %(until)s AND state IN ('done', 'refused')

-- name: delete_reconciliations
-- A running one has no `finished_at`.
DELETE FROM reconciliations WHERE id IN (SELECT id FROM reconciliations WHERE finished_at < %(until)s LIMIT %(limit)s)
