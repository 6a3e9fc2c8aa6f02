-- name: insert
-- One row per record, however often it is delivered.
INSERT INTO quarantine (id, source, record_topic, record_partition, record_offset, reason, detail, record_key, record_value, record_headers, recorded_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::text[], $7::text[], $8::bytea[], $9::bytea[], $10::json[], $11::timestamptz[])
ON CONFLICT (id) DO NOTHING
RETURNING id

-- name: find
SELECT id, source, record_topic, record_partition, record_offset, reason, detail, record_key, record_value, record_headers, recorded_at,
       created_at, replayed_at, closed_at
FROM quarantine
WHERE id = $1

-- name: lock
SELECT id, source, record_topic, record_partition, record_offset, reason, detail, record_key, record_value, record_headers, recorded_at,
       created_at, replayed_at, closed_at
FROM quarantine
WHERE id = $1
FOR UPDATE

-- name: mark_replayed
UPDATE quarantine SET replayed_at = now() WHERE id = $1 AND replayed_at IS NULL

-- name: close
UPDATE quarantine SET closed_at = now() WHERE id = $1 AND replayed_at IS NULL AND closed_at IS NULL
RETURNING id
