-- Rules over the history of some payments ($1: their ids), in the same form as in consistency.sql.

-- name: history_broken
-- Each row continues the one before. Events of one fact share both statuses. Rows of recovered records only show what was
-- published: the facts are applied again after them.
SELECT payment_id, id::text AS subject, format('it begins at %s, the row before ended at %s', from_status, before) AS detail
FROM (
    SELECT payment_id, id, from_status, to_status,
           coalesce(lag(to_status) OVER following, 'created') AS before, lag(from_status) OVER following AS from_before
    FROM payment_history
    WHERE payment_id = ANY ($1::uuid[]) AND cause NOT LIKE '%:recovered'
    WINDOW following AS (PARTITION BY payment_id ORDER BY id)
) h
WHERE from_status <> before AND (from_status, to_status) IS DISTINCT FROM (from_before, before)

-- name: transition_not_allowed
-- $2: `from:to` of each transition.
SELECT payment_id, id::text AS subject, format('from %s to %s', from_status, to_status) AS detail
FROM payment_history
WHERE payment_id = ANY ($1::uuid[]) AND from_status <> to_status AND concat_ws(':', from_status, to_status) <> ALL ($2::text[])

-- name: status_differs_from_history
SELECT p.id AS payment_id, p.id::text AS subject, format('the status is %s, the history ends at %s', p.status, coalesce(h.to_status, 'created')) AS detail
FROM payments p
LEFT JOIN LATERAL (
    SELECT to_status FROM payment_history WHERE payment_id = p.id AND cause NOT LIKE '%:recovered' ORDER BY id DESC LIMIT 1
) h ON true
WHERE p.id = ANY ($1::uuid[]) AND p.status <> coalesce(h.to_status, 'created')

-- name: sequence_has_gaps
SELECT payment_id, payment_id::text AS subject, format('%s events, the last has number %s', count(sequence), max(sequence)) AS detail
FROM payment_history
WHERE payment_id = ANY ($1::uuid[])
GROUP BY payment_id
HAVING count(sequence) <> coalesce(max(sequence), 0)

-- name: sequence_differs_from_history
SELECT p.id AS payment_id, p.id::text AS subject, format('sequence is %s, the last event has number %s', p.sequence, h.last) AS detail
FROM payments p
CROSS JOIN LATERAL (SELECT coalesce(max(sequence), 0) AS last FROM payment_history WHERE payment_id = p.id) h
WHERE p.id = ANY ($1::uuid[]) AND p.sequence <> h.last

-- name: event_written_twice
SELECT payment_id, format('%s %s', published_topic, cause) AS subject, format('written %s times, with the numbers %s', count(*), array_agg(sequence ORDER BY sequence)) AS detail
FROM payment_history
WHERE payment_id = ANY ($1::uuid[]) AND published_topic IS NOT NULL
GROUP BY payment_id, published_topic, cause
HAVING count(*) > 1

-- name: outbox_record_missing
-- Records are kept for seven days.
SELECT h.payment_id, format('%s:%s', h.payment_id, h.sequence) AS subject, format('%s has no record in the outbox', h.published_topic) AS detail
FROM payment_history h
WHERE h.payment_id = ANY ($1::uuid[]) AND h.sequence IS NOT NULL AND h.created_at > now() - interval '7 days'
  AND NOT EXISTS (SELECT FROM outbox o WHERE o.aggregateid = h.payment_id AND o.sequence = h.sequence AND o.type = h.published_topic)

-- name: status_not_published
SELECT p.id AS payment_id, format('%s:%s', p.id, t.topic) AS subject, format('the status is %s, %s was never written', p.status, t.topic) AS detail
FROM payments p
JOIN (VALUES ('authorized', 'payments.authorized'), ('succeeded', 'payments.succeeded'), ('canceled', 'payments.canceled'),
             ('canceled', 'payments.failed'), ('failed', 'payments.failed')) AS t (status, topic) ON t.status = p.status
WHERE p.id = ANY ($1::uuid[])
  AND NOT EXISTS (SELECT FROM payment_history h WHERE h.payment_id = p.id AND h.published_topic = t.topic)
UNION ALL
SELECT p.id, format('%s:payments.initiated', p.id), 'there is an intent, payments.initiated was never written'
FROM payments p
WHERE p.id = ANY ($1::uuid[]) AND p.provider_payment_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM payment_history h WHERE h.payment_id = p.id AND h.published_topic = 'payments.initiated')

-- name: refund_not_published
SELECT r.payment_id, r.id::text AS subject, format('the refund is %s, %s was never written', r.status, t.topic) AS detail
FROM refunds r
JOIN (VALUES ('pending', 'payments.refund_initiated'), ('requires_action', 'payments.refund_initiated'), ('succeeded', 'payments.refunded'),
             ('failed', 'payments.refund_failed'), ('canceled', 'payments.refund_failed')) AS t (status, topic) ON t.status = r.status
WHERE r.payment_id = ANY ($1::uuid[])
  AND NOT EXISTS (SELECT FROM payment_history h
                  WHERE h.payment_id = r.payment_id AND h.published_topic = t.topic AND starts_with(h.cause, r.id::text || ':'))

-- name: dispute_not_published
SELECT d.payment_id, d.id::text AS subject, format('the dispute is %s, no event was ever written', d.status) AS detail
FROM disputes d
WHERE d.payment_id = ANY ($1::uuid[])
  AND NOT EXISTS (SELECT FROM payment_history h
                  WHERE h.payment_id = d.payment_id AND h.published_topic IN ('payments.disputed', 'payments.dispute_closed')
                    AND starts_with(h.cause, d.id::text || ':'))
