-- name: read_only
SELECT current_setting('transaction_read_only')::boolean

-- name: table_locks
-- Sessions that hold, or wait at the head of the queue for, a lock that stops writes: `ALTER TABLE`, `VACUUM FULL`, `LOCK TABLE`. The
-- catalog is read without a lock on the tables. A lock on a partition of an earlier week stops writes only if it stops reads, too.
SELECT c.relname::text AS relation, l.pid, l.virtualtransaction AS holder
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation
WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('payments'))
  AND (l.mode = 'AccessExclusiveLock' OR l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock')
    AND (NOT c.relispartition OR right(c.relname, 8) = to_char(date_trunc('week', now() AT TIME ZONE 'UTC'), 'YYYYMMDD')))
ORDER BY c.relname, l.granted DESC, l.pid

-- name: spill
-- Writes 200 kB to a temporary file on the disk of the database, which is removed at the end of the statement. A full disk refuses it. The
-- settings hold for this statement, and come first, because the series depends on them.
SELECT count(*)
FROM (SELECT set_config('work_mem', '64kB', true) AS memory, set_config('temp_tablespaces', '', true) AS folders OFFSET 0) early
CROSS JOIN LATERAL generate_series(1, 10000 + 0 * length(early.memory || early.folders)) AS s (number)
