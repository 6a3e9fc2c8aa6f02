-- name: append
-- $1 to $7: history rows. $8 to $15: records, whose positions are drawn in the order of the arrays, while the payments are locked.
-- A payment of which `recover` stored records has higher numbers in the topics: then nothing is written, unless $16.
WITH numbered AS MATERIALIZED (
    SELECT WHERE $16 OR NOT EXISTS (SELECT FROM recovered_records WHERE payment_id = ANY ($10::uuid[]))
), noted AS (
    INSERT INTO payment_history (payment_id, sequence, from_status, to_status, published_topic, cause, occurred_at)
    SELECT v.* FROM numbered, unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[]) v
), written AS (
    INSERT INTO outbox (id, aggregatetype, aggregateid, sequence, type, key, payload, headers)
    SELECT id, aggregatetype, aggregateid, sequence, type, key, payload, headers
    FROM numbered, unnest($8::uuid[], $9::text[], $10::uuid[], $11::integer[], $12::text[], $13::bytea[], $14::bytea[], $15::json[])
         WITH ORDINALITY AS v (id, aggregatetype, aggregateid, sequence, type, key, payload, headers, ordinal)
    ORDER BY ordinal
    RETURNING position, aggregateid, created_at
)
INSERT INTO outbox_pending (position, aggregateid, created_at) SELECT position, aggregateid, created_at FROM written
