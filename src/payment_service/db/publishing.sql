-- What people see, and ask, of publishing.

-- name: status
SELECT (SELECT count(*) FROM outbox_pending) AS pending,
       (SELECT created_at FROM outbox_pending ORDER BY position LIMIT 1) AS oldest_at,
       (SELECT count(*) FROM parked_aggregates WHERE topic IS NULL) AS refused_records,
       l.expires_at > clock_timestamp() AS held, l.holder, l.epoch, now() AS at
FROM relay_lease l

-- name: refusing_topics
SELECT topic, count(*) AS waiting, min(parked_at) AS since FROM parked_aggregates WHERE topic IS NOT NULL GROUP BY topic ORDER BY topic

-- name: look_at_published
-- A bounded piece of the outbox from behind position $1, and what of it is asked for and published. The piece is bounded, not
-- what is found in it, so that looking for a rare topic takes many short statements and not a long one.
WITH piece AS MATERIALIZED (
    SELECT position, aggregateid, type, created_at FROM outbox
    WHERE position > $1 AND created_at >= $2 AND created_at < $3 AND ($4::uuid IS NULL OR aggregateid = $4)
    ORDER BY position
    LIMIT $6
)
SELECT (SELECT max(position) FROM piece) AS last,
       count(*) FILTER (WHERE NOT EXISTS (SELECT FROM outbox_pending p WHERE p.position = c.position)) AS found
FROM piece c
WHERE $5::text IS NULL OR type = $5

-- name: requeue
-- The same piece, and what is found is to be published again. In the order of positions, as the relay takes them; what waits to be
-- published already is left as it is.
WITH piece AS MATERIALIZED (
    SELECT position, aggregateid, type, created_at FROM outbox
    WHERE position > $1 AND created_at >= $2 AND created_at < $3 AND ($4::uuid IS NULL OR aggregateid = $4)
    ORDER BY position
    LIMIT $6
), queued AS (
    INSERT INTO outbox_pending (position, aggregateid, created_at)
    SELECT position, aggregateid, created_at FROM piece WHERE $5::text IS NULL OR type = $5 ORDER BY position
    ON CONFLICT (position) DO NOTHING
    RETURNING position
)
SELECT (SELECT max(position) FROM piece) AS last, (SELECT count(*) FROM queued) AS found

-- name: database_time
SELECT now()
