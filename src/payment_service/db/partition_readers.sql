-- name: begin
-- Returns the partitions whose last reader did not end. A second begin of the same reader finds its own row.
WITH assigned AS (SELECT * FROM unnest($2::text[], $3::integer[]) AS a (topic, partition)),
     died AS (
         SELECT r.topic, r.partition FROM partition_readers r JOIN assigned USING (topic, partition)
         WHERE r.ended_at IS NULL AND r.reader <> $1
     ),
     begun AS (
         INSERT INTO partition_readers (topic, partition, reader)
         SELECT topic, partition, $1 FROM assigned ORDER BY topic, partition
         ON CONFLICT (topic, partition) DO UPDATE SET reader = excluded.reader, began_at = now(), ended_at = NULL
     )
SELECT topic, partition FROM died

-- name: end_reading
-- A partition that another consumer has begun to read stays as it is.
UPDATE partition_readers r SET ended_at = now()
FROM unnest($2::text[], $3::integer[]) AS a (topic, partition)
WHERE r.topic = a.topic AND r.partition = a.partition AND r.reader = $1
