-- Rules over the rows of some payments ($1: their ids). The name of a statement is the code of the difference that it finds
-- (domain/differences.py). Each statement returns the differing rows: (payment_id, subject, detail).

-- name: captured_without_success
SELECT id AS payment_id, id::text AS subject, format('captured is %s and the status is %s', captured, status) AS detail
FROM payments
WHERE id = ANY ($1::uuid[]) AND captured > 0 AND status <> 'succeeded'

-- name: sums_out_of_range
SELECT id AS payment_id, id::text AS subject,
       format('amount %s, captured %s, refunded %s, reserved %s, status %s', amount, captured, refunded, reserved, status) AS detail
FROM payments
WHERE id = ANY ($1::uuid[])
  AND (NOT (0 <= refunded AND refunded <= captured AND captured <= amount AND reserved >= 0)
       OR (status = 'succeeded' AND captured = 0 AND amount > 0))

-- name: refunded_differs_from_refunds
SELECT p.id AS payment_id, p.id::text AS subject, format('refunded is %s, its successful refunds are %s', p.refunded, r.total) AS detail
FROM payments p
CROSS JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS total FROM refunds WHERE payment_id = p.id AND status = 'succeeded') r
WHERE p.id = ANY ($1::uuid[]) AND p.refunded <> r.total

-- name: reserved_differs_from_refunds
SELECT p.id AS payment_id, p.id::text AS subject, format('reserved is %s, its pending refunds are %s', p.reserved, r.total) AS detail
FROM payments p
CROSS JOIN LATERAL (
    SELECT coalesce(sum(amount), 0) AS total FROM refunds WHERE payment_id = p.id AND status IN ('pending', 'requires_action')
) r
WHERE p.id = ANY ($1::uuid[]) AND p.reserved <> r.total

-- name: refunded_and_lost_exceed_captured
SELECT p.id AS payment_id, p.id::text AS subject,
       format('refunded %s and lost in disputes %s, captured only %s', p.refunded, d.lost, p.captured) AS detail
FROM payments p
CROSS JOIN LATERAL (
    SELECT sum(amount) AS lost FROM disputes WHERE payment_id = p.id AND status = 'lost' AND currency = p.currency
) d
WHERE p.id = ANY ($1::uuid[]) AND p.refunded + d.lost > p.captured

-- name: refund_currency_differs
SELECT r.payment_id, r.id::text AS subject, format('the refund is in %s, the payment in %s', r.currency, p.currency) AS detail
FROM refunds r
JOIN payments p ON p.id = r.payment_id
WHERE r.payment_id = ANY ($1::uuid[]) AND r.currency <> p.currency

-- name: money_returned_without_capture
SELECT v.payment_id, v.id::text AS subject, format('the %s is %s, but nothing is captured', v.kind, v.status) AS detail
FROM (
    SELECT payment_id, id, 'refund' AS kind, status FROM refunds WHERE payment_id = ANY ($1::uuid[])
    UNION ALL
    SELECT payment_id, id, 'dispute', status FROM disputes WHERE payment_id = ANY ($1::uuid[])
) v
JOIN payments p ON p.id = v.payment_id
WHERE p.captured = 0

-- name: refund_without_operation
-- Nothing carries it out: the provider has not reported it, and no call is unfinished.
SELECT r.payment_id, r.id::text AS subject, format('the refund of %s %s has no unfinished operation', r.amount, r.currency) AS detail
FROM refunds r
WHERE r.payment_id = ANY ($1::uuid[]) AND r.status IN ('pending', 'requires_action') AND r.provider_refund_id IS NULL
  AND NOT EXISTS (SELECT FROM operations o
                  WHERE o.payment_id = r.payment_id AND o.state IN ('due', 'claimed', 'parked') AND (o.id = r.id OR o.kind = 'retrieve'))

-- name: operation_without_refund
SELECT o.payment_id, o.id::text AS subject, format('the refund operation is %s and has no refund', o.state) AS detail
FROM operations o
WHERE o.payment_id = ANY ($1::uuid[]) AND o.kind = 'refund' AND NOT EXISTS (SELECT FROM refunds r WHERE r.id = o.id)

-- name: refund_without_provider_id
SELECT payment_id, id::text AS subject, 'the refund succeeded and has no id of the provider' AS detail
FROM refunds
WHERE payment_id = ANY ($1::uuid[]) AND status = 'succeeded' AND provider_refund_id IS NULL

-- name: provider_differs
SELECT v.payment_id, v.id::text AS subject, format('the %s is of %s, the payment of %s', v.kind, v.provider, p.provider) AS detail
FROM (
    SELECT payment_id, id, 'operation' AS kind, provider FROM operations WHERE payment_id = ANY ($1::uuid[])
    UNION ALL
    SELECT payment_id, id, 'refund', provider FROM refunds WHERE payment_id = ANY ($1::uuid[])
    UNION ALL
    SELECT payment_id, id, 'dispute', provider FROM disputes WHERE payment_id = ANY ($1::uuid[])
) v
JOIN payments p ON p.id = v.payment_id
WHERE v.provider <> p.provider

-- name: paid_at_differs_from_status
SELECT id AS payment_id, id::text AS subject, format('the status is %s, paid_at is %s', status, coalesce(paid_at::text, 'empty')) AS detail
FROM payments
WHERE id = ANY ($1::uuid[]) AND (paid_at IS NOT NULL) <> (status = 'succeeded')

-- name: payment_fact_differs_from_status
-- $2: `status`, or `status:rank:precedence`, of each possible fact.
SELECT id AS payment_id, id::text AS subject,
       format('the status is %s, the fact key is %s', status, coalesce(nullif(concat_ws(':', fact_rank, fact_at, fact_precedence, fact_source), ''), 'empty')) AS detail
FROM payments
WHERE id = ANY ($1::uuid[])
  AND (concat_ws(':', status, fact_rank, fact_precedence) <> ALL ($2::text[]) OR num_nulls(fact_rank, fact_at, fact_precedence, fact_source) NOT IN (0, 4))

-- name: refund_fact_differs_from_status
SELECT payment_id, id::text AS subject,
       format('the status is %s, the fact key is %s', status, coalesce(nullif(concat_ws(':', fact_rank, fact_at, fact_precedence, fact_source), ''), 'empty')) AS detail
FROM refunds
WHERE payment_id = ANY ($1::uuid[])
  AND (concat_ws(':', status, fact_rank, fact_precedence) <> ALL ($2::text[]) OR num_nulls(fact_rank, fact_at, fact_precedence, fact_source) NOT IN (0, 4))

-- name: dispute_fact_differs_from_status
SELECT payment_id, id::text AS subject, format('the status is %s, the fact key is %s', status, concat_ws(':', fact_rank, fact_at, fact_precedence, fact_source)) AS detail
FROM disputes
WHERE payment_id = ANY ($1::uuid[]) AND concat_ws(':', status, fact_rank, fact_precedence) <> ALL ($2::text[])

-- name: order_has_two_open_payments
SELECT p.id AS payment_id, p.order_id AS subject, format('payment %s is open too', o.id) AS detail
FROM payments p
JOIN payments o ON o.order_id = p.order_id AND o.id > p.id AND o.status NOT IN ('canceled', 'failed')
WHERE p.id = ANY ($1::uuid[]) AND p.status NOT IN ('canceled', 'failed')

-- name: attempt_missing
SELECT p.id AS payment_id, p.order_id AS subject, format('attempt %s exists, attempt %s does not', p.attempt, p.attempt - 1) AS detail
FROM payments p
WHERE p.id = ANY ($1::uuid[]) AND p.attempt > 1
  AND NOT EXISTS (SELECT FROM payments b WHERE b.order_id = p.order_id AND b.attempt = p.attempt - 1)

-- name: create_missing
-- The customer can never pay: there is no intent, and no call will make one.
SELECT p.id AS payment_id, p.id::text AS subject, 'the payment has no intent and no unfinished create' AS detail
FROM payments p
WHERE p.id = ANY ($1::uuid[]) AND p.status = 'created' AND p.provider_payment_id IS NULL
  AND NOT EXISTS (SELECT FROM operations o WHERE o.payment_id = p.id AND o.kind = 'create' AND o.state IN ('due', 'claimed', 'parked'))

-- name: intent_missing
-- Only an order of zero, and a create that was refused or withdrawn, end without an intent.
SELECT p.id AS payment_id, p.id::text AS subject, format('the status is %s and there is no intent', p.status) AS detail
FROM payments p
WHERE p.id = ANY ($1::uuid[]) AND p.status <> 'created' AND p.provider_payment_id IS NULL AND p.amount > 0
  AND NOT (p.status IN ('canceled', 'failed')
           AND EXISTS (SELECT FROM operations o WHERE o.payment_id = p.id AND o.kind = 'create' AND o.state = 'refused'))

-- name: expiry_missing
SELECT id AS payment_id, id::text AS subject, format('it expires at %s, but nothing looks at it then', expires_at) AS detail
FROM payments
WHERE id = ANY ($1::uuid[]) AND expires_at IS NOT NULL AND expiry_due_at IS NULL
  AND status IN ('created', 'pending', 'requires_action', 'declined')

-- name: operation_has_no_worker
-- A living worker takes over after 5 s; a minute allows for a restart.
SELECT o.payment_id, o.id::text AS subject, format('the %s is claimed by %s, which sent no heartbeat for a minute', o.kind, o.worker) AS detail
FROM operations o
WHERE o.payment_id = ANY ($1::uuid[]) AND o.state = 'claimed'
  AND NOT EXISTS (SELECT FROM workers w WHERE w.id = o.worker AND w.heartbeat_at > now() - interval '60 s')

-- name: operation_state_differs
SELECT payment_id, id::text AS subject, format('the %s is %s, finished_at is %s', kind, state, coalesce(finished_at::text, 'empty')) AS detail
FROM operations
WHERE payment_id = ANY ($1::uuid[]) AND (state IN ('done', 'refused')) <> (finished_at IS NOT NULL)

-- name: operation_epoch_invalid
-- The epoch is part of the idempotency key: a lower one repeats an old call, and epoch 0 sends nothing.
SELECT o.payment_id, o.id::text AS subject, format('the %s has epoch %s and is %s', o.kind, o.epoch, o.state) AS detail
FROM operations o
WHERE o.payment_id = ANY ($1::uuid[])
  AND (o.epoch < 0 OR (o.epoch = 0 AND o.state IN ('due', 'claimed') AND NOT o.resolving)
       OR EXISTS (SELECT FROM jsonb_array_elements(o.attempts) a WHERE (a ->> 'epoch')::integer > o.epoch))

-- name: operation_key_looks_younger
-- The provider forgets a key 24 h after its first use. A later first_sent_at would send again under a forgotten key.
SELECT o.payment_id, o.id::text AS subject, format('first_sent_at is %s, but an attempt of this epoch was sent before', o.first_sent_at) AS detail
FROM operations o
WHERE o.payment_id = ANY ($1::uuid[])
  AND EXISTS (SELECT FROM jsonb_array_elements(o.attempts) a
              WHERE (a ->> 'epoch')::integer = o.epoch AND (a ->> 'sent_at')::timestamptz < o.first_sent_at)

-- name: event_stored_twice
SELECT min(payment_id::text)::uuid AS payment_id, format('%s:%s', provider, provider_event_id) AS subject, format('%s rows', count(*)) AS detail
FROM payment_events
WHERE payment_id = ANY ($1::uuid[])
GROUP BY provider, provider_event_id
HAVING count(*) > 1

-- name: event_without_effect
-- An applied event left no trace: nothing at all, another status, or no row for its refund or dispute.
SELECT e.payment_id, format('%s:%s', e.provider, e.provider_event_id) AS subject, format('%s was applied, but the payment is %s', e.event_type, p.status) AS detail
FROM payment_events e
JOIN payments p ON p.id = e.payment_id
CROSS JOIN LATERAL (SELECT e.payload #>> '{data,object,object}' AS kind, e.payload #>> '{data,object,id}' AS id,
                           e.payload #>> '{data,object,status}' AS status) o
WHERE e.payment_id = ANY ($1::uuid[]) AND e.processed AND e.result = 'applied'
  AND ((p.provider_payment_id IS NULL AND p.sequence = 0)
       OR (o.kind = 'payment_intent' AND o.id = p.provider_payment_id AND o.status = 'succeeded' AND p.status <> 'succeeded')
       OR (o.kind = 'refund' AND NOT EXISTS (SELECT FROM refunds r WHERE r.payment_id = p.id AND r.provider_refund_id = o.id))
       OR (o.kind = 'dispute' AND NOT EXISTS (SELECT FROM disputes d WHERE d.payment_id = p.id AND d.provider_dispute_id = o.id)))

-- name: cancellation_waits_for_nothing
-- Without due_at a cancellation waits for its order, which is here.
SELECT p.id AS payment_id, c.order_id AS subject, 'the order arrived, but nothing processes its cancellation' AS detail
FROM order_cancellations c
JOIN payments p ON p.order_id = c.order_id AND p.attempt = 1
WHERE p.id = ANY ($1::uuid[]) AND c.outcome IS NULL AND c.due_at IS NULL

-- name: canceled_order_is_paid
SELECT p.id AS payment_id, c.order_id AS subject, format('the outcome is %s, but the order was paid at %s', c.outcome, p.paid_at) AS detail
FROM order_cancellations c
JOIN payments p ON p.order_id = c.order_id
WHERE p.id = ANY ($1::uuid[]) AND c.outcome = 'canceled' AND p.captured > 0 AND p.created_at <= c.finished_at
