-- What needs attention: operations, events, records. Providers add their own items (provider/attention.py).

-- name: operations
SELECT 'operation' AS what, o.id::text AS name, o.payment_id, o.kind AS subject, coalesce(o.outcome, '') AS reason,
       concat_ws(' ', nullif(o.outcome_code, ''), nullif(o.outcome_detail, '')) AS detail, coalesce(o.provider_request_id, '') AS provider_request_id,
       o.due_at AS since
FROM operations o
WHERE o.state = 'parked'
ORDER BY o.due_at, o.id
LIMIT $1

-- name: events
SELECT 'event' AS what, provider_event_id AS name, payment_id, event_type AS subject, parked_reason AS reason, provider AS detail,
       '' AS provider_request_id, created_at AS since
FROM payment_events
WHERE parked_reason IS NOT NULL AND NOT processed
ORDER BY created_at, provider_event_id
LIMIT $1

-- name: records
-- Aggregates that wait for a topic resume by themselves with the topic.
SELECT 'record' AS what, h.aggregateid::text AS name, p.id AS payment_id, coalesce(h.topic, o.type, '') AS subject, h.reason,
       CASE WHEN h.topic IS NULL THEN 'the broker refuses the record' ELSE 'the topic accepts no records' END AS detail,
       '' AS provider_request_id, h.parked_at AS since
FROM parked_aggregates h
LEFT JOIN payments p ON p.id = h.aggregateid
LEFT JOIN outbox o ON o.aggregateid = h.aggregateid AND o.position = h.position
ORDER BY h.parked_at, h.aggregateid
LIMIT $1

-- name: waiting_for_balance
-- A refund is named like its operation.
SELECT r.id, r.payment_id, in_major_units(r.amount, r.currency)::text AS amount, r.currency, r.created_at AS since, o.due_at AS next_try_at
FROM provider_budget p
CROSS JOIN LATERAL (
    SELECT id, due_at FROM operations
    WHERE state = 'due' AND provider = p.provider AND kind = 'refund' AND outcome = 'balance_too_low'
) o
JOIN refunds r ON r.id = o.id
ORDER BY r.created_at, r.id
LIMIT $1

-- name: find_operation
SELECT payment_id, provider, kind FROM operations WHERE id = $1

-- name: lock_operation
-- Locked after its payment. No worker claims a parked operation.
SELECT id, kind, cause, tries, resolving, outcome, outcome_code, attempts -> -1 ->> 'provider_request_id' AS answered_by,
       request_method, request_path, request_body, api_version
FROM operations
WHERE id = $1 AND state = 'parked'
FOR UPDATE

-- name: retry_in_next_epoch
-- Nothing exists under the current epoch.
UPDATE operations
SET state = 'due', due_at = now(), epoch = epoch + 1, tries = 0, first_sent_at = NULL, resolving = false, empty_read_at = NULL,
    outcome = 'retried', outcome_code = '', outcome_detail = ''
WHERE id = $1 AND state = 'parked'

-- name: retry_with_read
UPDATE operations
SET state = 'due', due_at = now(), resolving = kind <> 'retrieve', empty_read_at = NULL, outcome = 'retried', outcome_code = '', outcome_detail = ''
WHERE id = $1 AND state = 'parked'

-- name: resolve_operation
UPDATE operations
SET state = $2, outcome = 'resolved', outcome_code = '', outcome_detail = $3, finished_at = now()
WHERE id = $1 AND state = 'parked'

-- name: refund_with_provider_id
SELECT id, external FROM refunds WHERE provider = $1 AND provider_refund_id = $2

-- name: find_events
-- $2: the configured providers. Each condition has an index; the id alone has none.
SELECT DISTINCT ON (provider) provider AS owner, payment_id, parked_reason IS NOT NULL AND NOT processed AS parked
FROM payment_events
WHERE provider_event_id = $1 AND (parked_reason IS NOT NULL OR provider = ANY ($2::text[]))
ORDER BY provider, parked_reason IS NOT NULL AND NOT processed DESC

-- name: retry_event
UPDATE payment_events SET parked_reason = NULL, retry_at = now(), tries = 0
WHERE provider_event_id = $1 AND provider = $2 AND parked_reason IS NOT NULL AND NOT processed
RETURNING payment_id

-- name: close_event
UPDATE payment_events SET processed = true, processed_at = now(), result = 'closed', parked_reason = NULL, retry_at = NULL
WHERE provider_event_id = $1 AND provider = $2 AND parked_reason IS NOT NULL AND NOT processed
RETURNING payment_id

-- name: is_parked
SELECT EXISTS (SELECT FROM parked_aggregates WHERE aggregateid = $1)

-- name: release_aggregate
DELETE FROM parked_aggregates WHERE aggregateid = $1 RETURNING aggregateid
