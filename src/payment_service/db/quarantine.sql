-- name: insert
-- Once per record, however often it is delivered.
INSERT INTO quarantine (id, source, record_topic, record_partition, record_offset, reason, detail, record_key, record_value, record_headers, record_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::text[], $7::text[], $8::bytea[], $9::bytea[], $10::json[], $11::timestamptz[])
ON CONFLICT (id) DO NOTHING
RETURNING id
