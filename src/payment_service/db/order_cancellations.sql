-- name: insert
-- A repeated cancellation is skipped.
INSERT INTO order_cancellations (order_id, reason, record_topic, record_partition, record_offset, recorded_at, due_at)
SELECT *, now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::timestamptz[])
     AS v (order_id, reason, record_topic, record_partition, record_offset, recorded_at)
ON CONFLICT (order_id) DO NOTHING
RETURNING order_id

-- name: resume_waiting
-- Cancellations that arrived before their orders. Their payments are withdrawn, and the loop waits for the result.
UPDATE order_cancellations SET due_at = now()
WHERE order_id = ANY ($1::text[]) AND outcome IS NULL
RETURNING order_id

-- name: lock_due
SELECT order_id, reason, tries FROM order_cancellations
WHERE due_at <= now()
ORDER BY due_at
LIMIT $1
FOR UPDATE SKIP LOCKED

-- name: update
UPDATE order_cancellations c
SET outcome = v.outcome, finished_at = CASE WHEN v.outcome IS NOT NULL THEN now() END,
    due_at = now() + v.retry_s * interval '1 s', tries = c.tries + 1
FROM unnest($1::text[], $2::text[], $3::float8[]) AS v (order_id, outcome, retry_s)
WHERE c.order_id = v.order_id AND c.outcome IS NULL

-- name: is_canceled
SELECT EXISTS (SELECT FROM order_cancellations WHERE order_id = $1)
