-- name: fetch_unpublished
-- From the beginning, or after a position ($4) below which nothing is left or can appear (kafka/frontier.py). That position holds
-- only on the server that was started at $5. Leaves out records in progress ($2) and parked aggregates. Returns at most $1 rows and, except for the last row, $3 bytes of values. LIMIT 1
-- prevents a plan that hashes the whole outbox, which PostgreSQL would choose while the table is empty.
WITH candidate AS MATERIALIZED (
    SELECT position, created_at
    FROM outbox_pending p
    WHERE p.position > CASE WHEN pg_postmaster_start_time() = $5::timestamptz THEN $4::bigint ELSE 0 END
      AND p.position <> ALL ($2::bigint[])
      AND NOT EXISTS (SELECT FROM parked_aggregates h WHERE h.aggregateid = p.aggregateid)
    ORDER BY position
    LIMIT $1
)
SELECT position, aggregateid, type, key, payload, headers, created_at
FROM (
    SELECT o.position, o.aggregateid, o.type, o.key, o.payload, o.headers, o.created_at,
           sum(octet_length(o.payload)) OVER (
               ORDER BY o.position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ) AS bytes_before
    FROM candidate c
    CROSS JOIN LATERAL (
        SELECT * FROM outbox r WHERE r.position = c.position AND r.created_at = c.created_at LIMIT 1
    ) o
) o
WHERE coalesce(bytes_before, 0) < $3
ORDER BY position

-- name: look
-- `drawn` is read after the snapshot was taken, so only a later look says which transactions may have drawn it.
SELECT pg_postmaster_start_time() AS server,
       coalesce(pg_sequence_last_value('outbox_position'), 0) AS drawn,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_transaction,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_transaction,
       (SELECT position FROM outbox_pending WHERE position > $1 ORDER BY position LIMIT 1) AS oldest_pending

-- name: mark_published
-- Returns no row, and marks nothing, if another relay has the lease. Stores one placement per publication.
WITH lease AS MATERIALIZED (
    SELECT epoch FROM relay_lease WHERE holder = $4 AND epoch = $5
), marked AS (
    DELETE FROM outbox_pending WHERE position = ANY ($1::bigint[]) AND EXISTS (SELECT FROM lease)
    RETURNING position, created_at
), placed AS (
    INSERT INTO outbox_placements (position, created_at, partition, record_offset)
    SELECT m.position, m.created_at, v.partition, v.record_offset
    FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS v (position, partition, record_offset)
    JOIN marked m USING (position)
)
SELECT epoch FROM lease

-- name: take_lease
UPDATE relay_lease SET holder = $1, epoch = epoch + 1, expires_at = clock_timestamp() + make_interval(secs => $2)
WHERE expires_at < clock_timestamp()
RETURNING epoch

-- name: renew_lease
-- Also returns the last position that was drawn, so that the relay notices records without a signal.
UPDATE relay_lease SET expires_at = clock_timestamp() + make_interval(secs => $3)
WHERE holder = $1 AND epoch = $2
RETURNING coalesce(pg_sequence_last_value('outbox_position'), 0) AS drawn

-- name: release_lease
UPDATE relay_lease SET expires_at = '-infinity', holder = NULL
WHERE holder = $1 AND epoch = $2

-- name: park_aggregates
-- Returns no row, and parks nothing, if another relay has the lease.
WITH lease AS MATERIALIZED (
    SELECT epoch FROM relay_lease WHERE holder = $5 AND epoch = $6
), parked AS (
    INSERT INTO parked_aggregates (aggregateid, position, topic, reason)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) WHERE EXISTS (SELECT FROM lease)
    ON CONFLICT (aggregateid) DO UPDATE
    SET position = excluded.position, topic = excluded.topic, reason = excluded.reason, parked_at = now()
)
SELECT epoch FROM lease

-- name: parked_topics
-- A loose index scan: one step per topic, however many aggregates are parked.
WITH RECURSIVE t AS (
    SELECT min(topic) AS topic FROM parked_aggregates WHERE topic IS NOT NULL
    UNION ALL
    SELECT (SELECT min(h.topic) FROM parked_aggregates h WHERE h.topic > t.topic) FROM t WHERE t.topic IS NOT NULL
)
SELECT topic FROM t WHERE topic IS NOT NULL

-- name: release_topic
DELETE FROM parked_aggregates
WHERE aggregateid IN (SELECT aggregateid FROM parked_aggregates WHERE topic = $1 ORDER BY position LIMIT $2)
RETURNING aggregateid
