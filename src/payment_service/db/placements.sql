-- Published records, for the comparison with their topics.

-- name: of_aggregates
SELECT o.id, o.aggregateid, o.sequence, o.type, o.key, o.payload, o.headers, o.created_at,
       ARRAY(SELECT p.partition FROM outbox_placements p WHERE p.position = o.position AND p.created_at = o.created_at ORDER BY p.published_at, p.record_offset) AS partitions,
       ARRAY(SELECT p.record_offset FROM outbox_placements p WHERE p.position = o.position AND p.created_at = o.created_at ORDER BY p.published_at, p.record_offset) AS offsets
FROM outbox o
WHERE o.aggregateid = ANY ($1::uuid[])

-- name: placed
-- The records after position $1 up to $2, written since $3.
SELECT o.id, o.aggregateid, o.sequence, o.type, o.key, o.payload, o.headers, o.created_at,
       ARRAY(SELECT p.partition FROM outbox_placements p WHERE p.position = o.position AND p.created_at = o.created_at ORDER BY p.published_at, p.record_offset) AS partitions,
       ARRAY(SELECT p.record_offset FROM outbox_placements p WHERE p.position = o.position AND p.created_at = o.created_at ORDER BY p.published_at, p.record_offset) AS offsets
FROM outbox o
WHERE o.position > $1 AND o.position <= $2 AND o.created_at >= $3
ORDER BY o.position
