-- Rules over records to publish and over whole tables, in the same form as in consistency.sql.

-- name: record_without_history
-- Rules over the records after position $1 up to $2.
SELECT o.aggregateid AS payment_id, o.id::text AS subject, format('%s number %s is not in the history', o.type, o.sequence) AS detail
FROM outbox o
WHERE o.position > $1 AND o.position <= $2 AND o.aggregatetype = 'payment'
  AND NOT EXISTS (SELECT FROM payment_history h WHERE h.payment_id = o.aggregateid AND h.sequence = o.sequence AND h.published_topic = o.type)

-- name: record_written_twice
SELECT CASE WHEN o.sequence IS NOT NULL THEN o.aggregateid END AS payment_id, o.id::text AS subject, format('positions %s and %s', e.position, o.position) AS detail
FROM outbox o
JOIN outbox e ON e.aggregateid = o.aggregateid AND e.position < o.position AND e.id = o.id
WHERE o.position > $1 AND o.position <= $2

-- name: record_out_of_order
SELECT o.aggregateid AS payment_id, o.id::text AS subject, format('number %s was written after number %s', o.sequence, max(e.sequence)) AS detail
FROM outbox o
JOIN outbox e ON e.aggregateid = o.aggregateid AND e.position < o.position AND e.sequence > o.sequence
WHERE o.position > $1 AND o.position <= $2
GROUP BY o.aggregateid, o.id, o.sequence

-- name: record_not_placed
-- Published, by its absence from outbox_pending, but nobody stored where.
SELECT CASE WHEN o.sequence IS NOT NULL THEN o.aggregateid END AS payment_id, o.id::text AS subject, format('%s is neither pending nor placed', o.type) AS detail
FROM outbox o
WHERE o.position > $1 AND o.position <= $2
  AND NOT EXISTS (SELECT FROM outbox_pending p WHERE p.position = o.position)
  AND NOT EXISTS (SELECT FROM outbox_placements p WHERE p.position = o.position AND p.created_at = o.created_at)

-- name: record_published_out_of_order
-- By the first publication of both: a later number came first, or stands first on the partition.
SELECT o.aggregateid AS payment_id, o.id::text AS subject, format('number %s was published after number %s', o.sequence, min(e.sequence)) AS detail
FROM outbox o
CROSS JOIN LATERAL (SELECT * FROM outbox_placements p WHERE p.position = o.position AND p.created_at = o.created_at ORDER BY published_at, record_offset LIMIT 1) p
JOIN outbox e ON e.aggregateid = o.aggregateid AND e.sequence > o.sequence
CROSS JOIN LATERAL (SELECT * FROM outbox_placements q WHERE q.position = e.position AND q.created_at = e.created_at ORDER BY published_at, record_offset LIMIT 1) q
WHERE o.position > $1 AND o.position <= $2
  AND (q.published_at < p.published_at OR (e.type = o.type AND q.partition = p.partition AND q.record_offset < p.record_offset))
GROUP BY o.aggregateid, o.id, o.sequence

-- name: records_on_two_partitions
SELECT o.aggregateid AS payment_id, o.id::text AS subject, format('%s: partition %s, an earlier record is on %s', o.type, p.partition, min(q.partition)) AS detail
FROM outbox o
JOIN outbox_placements p ON p.position = o.position AND p.created_at = o.created_at
JOIN outbox e ON e.aggregateid = o.aggregateid AND e.type = o.type AND e.sequence <= o.sequence
JOIN outbox_placements q ON q.position = e.position AND q.created_at = e.created_at
WHERE o.position > $1 AND o.position <= $2 AND q.partition <> p.partition AND (q.published_at, q.record_offset) < (p.published_at, p.record_offset)
GROUP BY o.aggregateid, o.id, o.type, p.partition

-- name: contents
-- The records after position $1 up to $2 with the rows that their contents describe. `last`: of its kind for this payment.
SELECT o.id, o.aggregateid, o.sequence, o.type, o.key, o.payload, o.headers, h.cause,
       p.order_id, p.user_id, p.attempt, p.amount, p.captured, p.refunded, p.currency, r.amount AS refund_amount, r.currency AS refund_currency,
       NOT EXISTS (SELECT FROM outbox e
                   WHERE e.aggregateid = o.aggregateid AND e.sequence > o.sequence
                     AND (e.type = o.type OR (o.type IN ('payments.refunded', 'payments.refund_failed')
                                              AND e.type IN ('payments.refunded', 'payments.refund_failed')))) AS last
FROM outbox o
JOIN payments p ON p.id = o.aggregateid
JOIN payment_history h ON h.payment_id = o.aggregateid AND h.sequence = o.sequence AND h.published_topic = o.type
LEFT JOIN refunds r ON r.payment_id = o.aggregateid AND r.id::text = split_part(h.cause, ':', 1)
WHERE o.position > $1 AND o.position <= $2 AND o.aggregatetype = 'payment'
ORDER BY o.position

-- name: history_without_payment
-- Over the history after id $1 up to $2; only the first row of each payment.
SELECT h.payment_id, h.payment_id::text AS subject, format('its history begins with %s', h.cause) AS detail
FROM payment_history h
WHERE h.id > $1 AND h.id <= $2 AND NOT EXISTS (SELECT FROM payments p WHERE p.id = h.payment_id)
  AND NOT EXISTS (SELECT FROM payment_history e WHERE e.payment_id = h.payment_id AND e.id < h.id)

-- name: event_forgotten
-- Rules over whole tables. Each reads an index of exceptions and returns at most $1 rows.
SELECT payment_id, format('%s:%s', provider, provider_event_id) AS subject, format('%s is not processed, not parked and has no retry_at', event_type) AS detail
FROM payment_events
WHERE NOT processed AND retry_at IS NULL AND parked_reason IS NULL
LIMIT $1

-- name: pending_without_record
SELECT NULL::uuid AS payment_id, p.position::text AS subject, 'the record is pending, but the outbox does not have it' AS detail
FROM outbox_pending p
WHERE NOT EXISTS (SELECT FROM outbox o WHERE o.position = p.position AND o.created_at = p.created_at)
ORDER BY p.position
LIMIT $1

-- name: dead_letter_missing
SELECT NULL::uuid AS payment_id, q.id::text AS subject, format('%s-%s@%s has no dead letter', q.record_topic, q.record_partition, q.record_offset) AS detail
FROM quarantine q
WHERE q.source = 'kafka' AND q.created_at > now() - interval '7 days' AND NOT EXISTS (SELECT FROM outbox o WHERE o.aggregateid = q.id)
LIMIT $1

-- name: rows_in_default_partition
SELECT NULL::uuid AS payment_id, v.name AS subject, format('%s rows', v.rows) AS detail
FROM (
    SELECT 'outbox_default' AS name, count(*) AS rows FROM (SELECT FROM outbox_default LIMIT $1) o
    UNION ALL
    SELECT 'payment_events_default', count(*) FROM (SELECT FROM payment_events_default LIMIT $1) e
) v
WHERE v.rows > 0

-- name: budget_missing
-- Without its row, nothing limits the calls to a provider.
SELECT NULL::uuid AS payment_id, v.provider AS subject, 'operations are due, but there is no row in provider_budget' AS detail
FROM (SELECT provider FROM operations WHERE state = 'due' GROUP BY provider LIMIT $1) v
WHERE NOT EXISTS (SELECT FROM provider_budget b WHERE b.provider = v.provider)
