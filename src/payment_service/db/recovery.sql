-- A restored backup: what was published and done since it was made.

-- name: begin
-- A recovery that is unfinished keeps its earliest time.
INSERT INTO recovery (restored_to) VALUES ($1)
ON CONFLICT (id) DO UPDATE
SET restored_to = CASE WHEN recovery.finished_at IS NULL THEN least(recovery.restored_to, $1) ELSE $1 END,
    started_at = now(), finished_at = NULL
RETURNING restored_to

-- name: finish
-- The readers of the backup have not died: it was made while they read.
WITH readers AS (UPDATE partition_readers SET ended_at = now() WHERE ended_at IS NULL)
UPDATE recovery SET finished_at = now()

-- name: unfinished
SELECT restored_to FROM recovery WHERE finished_at IS NULL

-- name: restored_to
-- The time of the last backup that was restored, while a payment that was lost with it can still be paid.
SELECT restored_to FROM recovery WHERE started_at > now() - interval '30 days'

-- name: running
-- Processes of the service on this database. A role sees only its own sessions, so the workers are counted too.
SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'payment-service')
     + (SELECT count(*) FROM workers WHERE heartbeat_at > now() - interval '5 s')

-- name: insert_records
-- Stores records that the backup lacks. A record that it has as pending is marked as published instead. Returns the number of
-- both. $1 ce_id, $2 payment, $3 attempt, $4 sequence, $5 topic, $6 partition, $7 offset, $8 key, $9 value, $10 headers, $11 time.
WITH seen AS MATERIALIZED (
    SELECT DISTINCT ON (ce_id) *
    FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::integer[], $5::text[], $6::integer[], $7::bigint[], $8::bytea[], $9::bytea[],
                $10::json[], $11::timestamptz[])
         AS v (ce_id, payment_id, attempt, sequence, topic, partition, record_offset, key, value, headers, recorded_at)
    ORDER BY ce_id, record_offset
), stored AS MATERIALIZED (
    SELECT s.*, o.position FROM seen s CROSS JOIN LATERAL (
        SELECT position FROM outbox WHERE aggregateid = s.payment_id AND id = s.ce_id ORDER BY position LIMIT 1
    ) o
), published AS (
    DELETE FROM outbox_pending p USING stored s WHERE p.position = s.position
    RETURNING p.position, p.created_at, s.partition, s.record_offset, s.recorded_at
), placed AS (
    INSERT INTO outbox_placements (position, created_at, partition, record_offset, published_at)
    SELECT position, created_at, partition, record_offset, recorded_at FROM published
), lost AS (
    INSERT INTO recovered_records (ce_id, payment_id, attempt, sequence, topic, partition, record_offset, key, value, headers, recorded_at)
    SELECT * FROM seen s WHERE NOT EXISTS (SELECT FROM stored t WHERE t.ce_id = s.ce_id)
    ORDER BY ce_id
    ON CONFLICT (ce_id) DO NOTHING
    RETURNING ce_id
)
SELECT (SELECT count(*) FROM lost) AS lost, (SELECT count(*) FROM published) AS published

-- name: write_records
-- Writes the records of the next payments by id to the outbox, as published, and to the history. In the order of their numbers,
-- as the relay would have read them. Returns the last payment.
WITH next AS MATERIALIZED (
    SELECT DISTINCT payment_id FROM recovered_records WHERE payment_id > $1 ORDER BY payment_id LIMIT $2
), lost AS MATERIALIZED (
    SELECT r.* FROM next n JOIN recovered_records r USING (payment_id)
    WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.aggregateid = r.payment_id AND o.id = r.ce_id)
), written AS (
    INSERT INTO outbox (id, aggregatetype, aggregateid, sequence, type, key, payload, headers, created_at)
    SELECT ce_id, 'payment', payment_id, sequence, topic, key, value, headers, recorded_at FROM lost ORDER BY payment_id, sequence
    RETURNING position, id, created_at
), placed AS (
    INSERT INTO outbox_placements (position, created_at, partition, record_offset, published_at)
    SELECT w.position, w.created_at, l.partition, l.record_offset, l.recorded_at FROM written w JOIN lost l ON l.ce_id = w.id
), told AS (
    INSERT INTO payment_history (payment_id, sequence, from_status, to_status, published_topic, cause, occurred_at)
    SELECT payment_id, sequence, status, status, topic, concat_ws(':', coalesce(child, topic), ce_id, 'recovered'), recorded_at
    FROM lost CROSS JOIN LATERAL (
        SELECT CASE topic WHEN 'payments.initiated' THEN 'pending' WHEN 'payments.authorized' THEN 'authorized'
                          WHEN 'payments.canceled' THEN 'canceled'
                          WHEN 'payments.failed' THEN CASE WHEN convert_from(value, 'UTF8')::json ->> 'final' = 'true' THEN 'failed' ELSE 'declined' END
                          ELSE 'succeeded' END AS status,
               coalesce(convert_from(value, 'UTF8')::json ->> 'refund_id', convert_from(value, 'UTF8')::json ->> 'dispute_id') AS child
    ) s
    ORDER BY payment_id, sequence
    ON CONFLICT (payment_id, sequence) DO NOTHING
), numbered AS (
    UPDATE payments p SET sequence = l.last
    FROM (SELECT payment_id, max(sequence) AS last FROM lost GROUP BY payment_id) l
    WHERE p.id = l.payment_id AND p.sequence < l.last
)
SELECT payment_id FROM next ORDER BY payment_id DESC LIMIT 1

-- name: records_of
SELECT ce_id, payment_id, sequence FROM recovered_records WHERE payment_id = ANY ($1::uuid[])

-- name: canceled
-- Payments whose end without money was published, and the code with which.
SELECT DISTINCT ON (r.payment_id) r.payment_id,
       (SELECT convert_from(o.payload, 'UTF8')::json ->> 'code' FROM outbox o
        WHERE o.aggregateid = r.payment_id AND o.type = 'payments.failed' ORDER BY o.position DESC LIMIT 1) AS code
FROM recovered_records r
WHERE r.payment_id = ANY ($1::uuid[]) AND r.topic = 'payments.canceled'

-- name: unsent_creates
-- Payments without an intent whose end without money was published.
SELECT p.id FROM (SELECT DISTINCT payment_id FROM recovered_records WHERE topic = 'payments.canceled') r
JOIN payments p ON p.id = r.payment_id
WHERE p.status = 'created'

-- name: missing_payments
-- Payments that were published and that the backup lacks. Reading the orders again makes the first payment of each order.
SELECT DISTINCT ON (payment_id) payment_id, attempt, convert_from(value, 'UTF8')::json ->> 'order_id' AS order_id
FROM recovered_records r
WHERE NOT EXISTS (SELECT FROM payments p WHERE p.id = r.payment_id)
ORDER BY payment_id, sequence

-- name: look_first
-- Makes unfinished operations read before they send (epoch 0 sends nothing): the database that was lost may have sent them, and
-- the provider may have forgotten the key. A create in a later epoch reads in the epoch before, since an intent under the key of
-- its own epoch may be young; see flows/calls/listing_windows.py.
UPDATE operations
SET state = 'due', worker = NULL, due_at = now(), resolving = true, empty_read_at = NULL,
    epoch = CASE WHEN kind = 'create' AND epoch > 1 THEN epoch - 1 ELSE 0 END,
    last_sent_at = CASE WHEN kind = 'create' AND epoch > 1 THEN now() END,
    first_sent_at = coalesce(first_sent_at, created_at)
WHERE id = ANY (ARRAY(
    SELECT id FROM operations
    WHERE (state = 'due' OR state = 'claimed') AND kind <> 'retrieve' AND NOT resolving AND provider = ANY ($1::text[])
    LIMIT $2
    FOR UPDATE
))

-- name: open_payments
-- The next open payments by id, and those whose refunds were published since the backup.
SELECT id FROM payments
WHERE id > $1 AND provider_payment_id IS NOT NULL AND provider = ANY ($2::text[])
  AND (status NOT IN ('succeeded', 'canceled', 'failed')
       OR EXISTS (SELECT FROM recovered_records r WHERE r.payment_id = payments.id))
ORDER BY id
LIMIT $3
