-- Reads for people at the command line: what hangs on one payment.

-- name: operations_of_payment
SELECT id, kind, state, cause, outcome, outcome_code, outcome_detail, attempt, provider_request_id, created_at, finished_at,
       kind || ':' || CASE kind WHEN 'create' THEN payment_id ELSE id END || ':' || epoch AS idempotency_key
FROM operations
WHERE payment_id = $1
ORDER BY position

-- name: events_of_payment
SELECT id, event_type AS type, provider_event_id, processed, result, occurred_at, created_at
FROM payment_events
WHERE payment_id = $1
ORDER BY occurred_at, id

-- name: changes_of_payment
SELECT h.sequence, h.announced AS topic, h.from_status, h.to_status, h.cause, h.occurred_at, h.created_at,
       CASE WHEN h.sequence IS NOT NULL THEN NOT EXISTS (
           SELECT FROM outbox_pending p JOIN outbox o ON o.position = p.position AND o.created_at = p.created_at
           WHERE p.aggregateid = h.payment_id AND o.sequence = h.sequence) END AS published
FROM payment_history h
WHERE h.payment_id = $1
ORDER BY h.id
