-- name: gauges
-- One round trip for all gauges but one (db/attention.sql: count): (gauge, labels, value). Counts stop at 100,000 rows, so that
-- monitoring adds little load to a backlog.
SELECT 'operations' AS gauge, ARRAY[kind, state] AS labels, count(*)::float8 AS value
FROM (
    SELECT kind, state FROM operations WHERE state = 'claimed'
    UNION ALL
    SELECT kind, state FROM operations WHERE state = 'parked'
    UNION ALL
    SELECT kind, state FROM operations WHERE state = 'due'
    LIMIT 100000
) o
GROUP BY kind, state
UNION ALL
SELECT 'oldest_outbox', '{}', coalesce(max(extract(epoch FROM clock_timestamp() - o.created_at)), 0)::float8
FROM (SELECT created_at FROM outbox_pending ORDER BY position LIMIT 1) o
UNION ALL
SELECT 'outbox_backlog', '{}', count(*)::float8 FROM (SELECT FROM outbox_pending LIMIT 100000) o
UNION ALL
-- An event that names no payment is probably of another system; flows/webhooks/foreign.py finds out.
SELECT 'events_waiting', '{}', count(*)::float8
FROM (
    SELECT FROM payment_events
    WHERE NOT processed AND retry_at IS NOT NULL AND (payment_id IS NOT NULL OR result IS DISTINCT FROM 'unmatched')
    LIMIT 100000
) e
UNION ALL
-- A shop needs a day or two to gather evidence.
SELECT 'disputes_due', '{}', count(*)::float8
FROM (
    SELECT FROM disputes
    WHERE status LIKE '%needs_response' AND answer_by BETWEEN now() AND now() + interval '3 days'
    LIMIT 100000
) d
UNION ALL
-- The provider says when a hold ends: after 4 days 18 hours to 7 days for most cards. Two days are left to ship and capture
-- (https://docs.stripe.com/payments/place-a-hold-on-a-payment-method).
SELECT 'holds_ending', '{}', count(*)::float8
FROM (
    SELECT FROM payments
    WHERE derived_status(status, captured, refunded) = 'authorized' AND capture_before < now() + interval '2 days'
    LIMIT 100000
) p
UNION ALL
-- Stripe completes most refunds at once, and says 5 to 10 days for the bank (https://docs.stripe.com/refunds).
SELECT 'refunds_pending_long', '{}', count(*)::float8
FROM (
    SELECT FROM refunds
    WHERE status IN ('pending', 'requires_action') AND created_at < now() - interval '10 days'
    LIMIT 100000
) r
UNION ALL
-- A customer tries a few cards; ten declines within a day look like stolen cards being tested.
SELECT 'declined_often', '{}', count(*)::float8
FROM (
    SELECT FROM payments
    WHERE cardinality(declines) >= 10 AND created_at > now() - interval '1 day'
    LIMIT 100000
) t
UNION ALL
SELECT 'reconciliation_age', '{}', coalesce(extract(epoch FROM now() - coalesce(
           (SELECT max(finished_at) FROM reconciliations WHERE finished_at IS NOT NULL),
           (SELECT created_at FROM payments ORDER BY created_at, id LIMIT 1))), 0)::float8
UNION ALL
SELECT 'oldest_poll', '{}', coalesce(max(extract(epoch FROM now() - w.due_at)), 0)::float8
FROM provider_budget p
CROSS JOIN LATERAL (SELECT due_at FROM polls WHERE provider = p.provider AND due_at <= now() ORDER BY due_at LIMIT 1) w
UNION ALL
SELECT 'events_unread', ARRAY[provider], extract(epoch FROM now())::float8 + clock_ahead_s - events_read_until FROM event_positions
UNION ALL
SELECT 'audit_unsealed', '{}', coalesce(max(extract(epoch FROM clock_timestamp() - a.at)), 0)::float8
FROM (SELECT audit_id FROM audit_unsealed ORDER BY audit_id LIMIT 1) u
JOIN audit a ON a.id = u.audit_id
UNION ALL
SELECT 'refunds_without_balance', '{}', count(*)::float8
FROM (
    SELECT FROM provider_budget p
    JOIN operations o ON o.provider = p.provider
    WHERE o.state = 'due' AND o.kind = 'refund' AND o.outcome = 'balance_too_low'
    LIMIT 100000
) b
UNION ALL
SELECT 'provider_blocked', ARRAY[provider, kind], 1 FROM provider_health WHERE blocked_since IS NOT NULL
UNION ALL
SELECT 'partition_days_left', ARRAY[i.inhparent::regclass::text],
       extract(epoch FROM max((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz) - now())::float8 / 86400
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('payment_events'::regclass, 'outbox'::regclass, 'outbox_placements'::regclass) AND c.relkind = 'r'
GROUP BY i.inhparent
UNION ALL
SELECT 'partition_default_rows', ARRAY['payment_events'], count(*)::float8 FROM (SELECT FROM payment_events_default LIMIT 100000) d
UNION ALL
SELECT 'partition_default_rows', ARRAY['outbox'], count(*)::float8 FROM (SELECT FROM outbox_default LIMIT 100000) d
