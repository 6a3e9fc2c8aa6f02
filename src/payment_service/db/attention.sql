-- All that needs attention. Providers add their own items (provider/attention.py).

-- name: list
-- The oldest open items of each kind; no kind hides another. $1: kind, $2: earliest time, $3: reason, $4: id; NULL: any. $5: rows per
-- kind. Each branch reads a partial index that has only open items. Another kind is a branch here and in `count`.
(
    SELECT 'operation' AS what, o.id::text AS id, o.provider AS owner, o.payment_id, o.kind AS subject, coalesce(o.outcome, 'unknown') AS reason,
           concat_ws(' ', nullif(o.outcome_code, ''), nullif(o.outcome_detail, '')) AS detail,
           coalesce(o.provider_request_id, '') AS provider_request_id, o.due_at AS since
    FROM operations o
    WHERE o.state = 'parked' AND ($1::text IS NULL OR $1 = 'operation') AND ($2::timestamptz IS NULL OR o.due_at >= $2)
      AND ($3::text IS NULL OR coalesce(o.outcome, 'unknown') = $3) AND ($4::text IS NULL OR o.id::text = $4)
    ORDER BY o.due_at, o.id
    LIMIT $5
)
UNION ALL
(
    SELECT 'event', e.provider_event_id, e.provider, e.payment_id, e.event_type, e.parked_reason, e.provider, '', e.created_at
    FROM payment_events e
    WHERE e.parked_reason IS NOT NULL AND NOT e.processed AND ($1 IS NULL OR $1 = 'event') AND ($2 IS NULL OR e.created_at >= $2)
      AND ($3 IS NULL OR e.parked_reason = $3) AND ($4 IS NULL OR e.provider_event_id = $4)
    ORDER BY e.created_at, e.provider_event_id
    LIMIT $5
)
UNION ALL
-- Records that wait for a topic resume by themselves with the topic.
(
    SELECT 'record', a.aggregateid::text, 'record', p.id, coalesce(a.topic, r.type, ''), a.reason,
           CASE WHEN a.topic IS NULL THEN 'the broker refuses the record' ELSE 'the topic accepts no records' END, '', a.parked_at
    FROM parked_aggregates a
    LEFT JOIN payments p ON p.id = a.aggregateid
    LEFT JOIN outbox r ON r.aggregateid = a.aggregateid AND r.position = a.position
    WHERE ($1 IS NULL OR $1 = 'record') AND ($2 IS NULL OR a.parked_at >= $2) AND ($3 IS NULL OR a.reason = $3)
      AND ($4 IS NULL OR a.aggregateid::text = $4)
    ORDER BY a.parked_at, a.aggregateid
    LIMIT $5
)
UNION ALL
(
    SELECT 'quarantine', q.id::text, 'quarantine', NULL, coalesce(q.record_topic, q.source), q.reason, q.detail, '', q.created_at
    FROM quarantine q
    WHERE q.replayed_at IS NULL AND q.closed_at IS NULL AND ($1 IS NULL OR $1 = 'quarantine') AND ($2 IS NULL OR q.created_at >= $2)
      AND ($3 IS NULL OR q.reason = $3) AND ($4 IS NULL OR q.id::text = $4)
    ORDER BY q.created_at, q.id
    LIMIT $5
)
UNION ALL
(
    SELECT 'difference', d.code || ':' || d.subject, 'difference', d.payment_id, d.subject, d.code, d.detail, '', d.first_seen_at
    FROM differences d
    WHERE d.resolved_at IS NULL AND ($1 IS NULL OR $1 = 'difference') AND ($2 IS NULL OR d.first_seen_at >= $2)
      AND ($3 IS NULL OR d.code = $3) AND ($4 IS NULL OR d.code || ':' || d.subject = $4)
    ORDER BY d.first_seen_at, d.code, d.subject
    LIMIT $5
)

-- name: count
-- Open items by kind and reason, for the gauges and `doctor`. Each kind stops at $1 rows, so that monitoring adds little load.
SELECT 'operation' AS what, coalesce(outcome, 'unknown') AS reason, count(*) AS items
FROM (SELECT outcome FROM operations WHERE state = 'parked' LIMIT $1) o
GROUP BY 2
UNION ALL
SELECT 'event', parked_reason, count(*)
FROM (SELECT parked_reason FROM payment_events WHERE NOT processed AND parked_reason IS NOT NULL LIMIT $1) e
GROUP BY 2
UNION ALL
-- The reason of a refused record is a sentence, which must not become a label.
SELECT 'record', CASE WHEN topic IS NULL THEN 'record' ELSE 'topic' END, count(*)
FROM (SELECT topic FROM parked_aggregates LIMIT $1) a
GROUP BY 2
UNION ALL
SELECT 'quarantine', reason, count(*)
FROM (SELECT reason FROM quarantine WHERE replayed_at IS NULL AND closed_at IS NULL LIMIT $1) q
GROUP BY 2
UNION ALL
SELECT 'difference', code, count(*)
FROM (SELECT code FROM differences WHERE resolved_at IS NULL LIMIT $1) d
GROUP BY 2

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
