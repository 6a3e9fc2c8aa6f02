-- name: append_history
INSERT INTO payment_history (payment_id, sequence, from_status, to_status, published_topic, cause, occurred_at)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])

-- name: append_outbox
-- Draws positions in the order of the arrays, while the payments are locked.
WITH written AS (
    INSERT INTO outbox (id, aggregatetype, aggregateid, sequence, type, key, payload, headers)
    SELECT id, aggregatetype, aggregateid, sequence, type, key, payload, headers
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::integer[], $5::text[], $6::bytea[], $7::bytea[], $8::json[])
         WITH ORDINALITY AS v (id, aggregatetype, aggregateid, sequence, type, key, payload, headers, ordinal)
    ORDER BY ordinal
    RETURNING position, aggregateid, created_at
)
INSERT INTO outbox_pending (position, aggregateid, created_at) SELECT position, aggregateid, created_at FROM written
