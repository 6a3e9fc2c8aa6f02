-- Publishing as operators see it.

-- name: status
SELECT (SELECT count(*) FROM outbox_pending) AS pending,
       (SELECT created_at FROM outbox_pending ORDER BY position LIMIT 1) AS oldest_at,
       (SELECT count(*) FROM parked_aggregates WHERE topic IS NULL) AS refused_records,
       l.expires_at > clock_timestamp() AS held, l.holder, l.epoch, now() AS at
FROM relay_lease l

-- name: refusing_topics
SELECT topic, count(*) AS waiting, min(parked_at) AS since FROM parked_aggregates WHERE topic IS NOT NULL GROUP BY topic ORDER BY topic

-- name: count_published
-- Counts the selected, published records in a chunk of the outbox after position $1. $6 limits the chunk and not the matches, so
-- that the search for a rare topic takes many short statements instead of a long one.
WITH chunk AS MATERIALIZED (
    SELECT position, aggregateid, type, created_at FROM outbox
    WHERE position > $1 AND created_at >= $2 AND created_at < $3 AND ($4::uuid IS NULL OR aggregateid = $4)
    ORDER BY position
    LIMIT $6
)
SELECT (SELECT max(position) FROM chunk) AS last,
       count(*) FILTER (WHERE NOT EXISTS (SELECT FROM outbox_pending p WHERE p.position = c.position)) AS found
FROM chunk c
WHERE $5::text IS NULL OR type = $5

-- name: requeue
-- Marks the matches of the same chunk as pending again, in the order of positions, as the relay takes them. Records that are
-- pending already stay as they are.
WITH chunk AS MATERIALIZED (
    SELECT position, aggregateid, type, created_at FROM outbox
    WHERE position > $1 AND created_at >= $2 AND created_at < $3 AND ($4::uuid IS NULL OR aggregateid = $4)
    ORDER BY position
    LIMIT $6
), queued AS (
    INSERT INTO outbox_pending (position, aggregateid, created_at)
    SELECT position, aggregateid, created_at FROM chunk WHERE $5::text IS NULL OR type = $5 ORDER BY position
    ON CONFLICT (position) DO NOTHING
    RETURNING position
)
SELECT (SELECT max(position) FROM chunk) AS last, (SELECT count(*) FROM queued) AS found
