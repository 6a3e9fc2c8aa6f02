-- name: now
SELECT now() AS now

-- name: partitions
-- Reading a bound takes a lock on its partition. Materialized, so that no plan reads those of other tables, which may be held.
WITH ours AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relpartbound
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = '{parent}'::regclass
)
SELECT relname AS name,
       (regexp_match(bound, 'FROM \(''([^'']+)''\)'))[1]::timestamptz AS since,
       (regexp_match(bound, 'TO \(''([^'']+)''\)'))[1]::timestamptz AS until
FROM ours, pg_get_expr(relpartbound, oid) bound
WHERE bound LIKE 'FOR VALUES FROM (''%'
ORDER BY since

-- name: weeks_in_default
-- date_trunc in the session's time zone, which is UTC: a week begins on Monday 00:00.
SELECT DISTINCT date_trunc('week', {column}) AS since
FROM {default}
WHERE {column} >= {since} AND {column} < {until}
ORDER BY since

-- name: create_standalone
CREATE TABLE {partition} (LIKE {parent} INCLUDING ALL)

-- name: lock_default
-- Nobody may put a row of this range into the default partition between the move and the attachment.
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
-- Both times: a row that came late is kept as long as one that came in time.
DELETE FROM {default} WHERE {column} < {until} AND created_at < {until} AND NOT ({unfinished})

-- name: forget_answers
-- Callers are promised 24 h; the rest is for those whose retries stopped over a day.
DELETE FROM idempotency_keys WHERE created_at < now() - interval '48 h'
