-- columns: terms
-- The columns of a Payment that never change.
id
order_id
attempt
user_id
provider
amount
currency
traceparent
metadata

-- columns: saved
-- The columns of a Payment that facts change, with the type of each in `save`. Arrays of arrays are not possible there.
status text
provider_payment_id text
captured bigint
refunded bigint
reserved bigint
payment_method_type text
payment_method_id text
sequence integer
fact_rank smallint
fact_at bigint
fact_precedence smallint
fact_source text
declines text = string_to_array(v.declines, E'\n')
paid_at timestamptz
capture_before timestamptz

-- name: insert
-- An order that already has its payment is skipped; the caller compares the two. $14: seconds until the first poll.
WITH inserted AS (
    INSERT INTO payments (id, order_id, user_id, provider, amount, currency, order_topic, order_partition, order_offset, traceparent,
                          capture_method, metadata, expires_at, expiry_due_at)
    SELECT *, expires_at
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::integer[], $9::bigint[], $10::text[],
                $11::text[], $12::jsonb[], $13::timestamptz[])
         AS v (id, order_id, user_id, provider, amount, currency, order_topic, order_partition, order_offset, traceparent, capture_method, metadata,
               expires_at)
    ON CONFLICT DO NOTHING
    RETURNING id, provider, amount
), polled AS (
    INSERT INTO polls (payment_id, provider, due_at)
    SELECT id, provider, now() + $14::float8 * interval '1 s' FROM inserted WHERE amount > 0
)
SELECT id FROM inserted

-- name: lock_available
-- Always in the order of ids, so that two groups cannot deadlock. Rows that another session has locked are skipped.
SELECT {terms}, {saved}
FROM payments
WHERE id = ANY ($1::uuid[])
ORDER BY id
FOR NO KEY UPDATE SKIP LOCKED

-- name: lock_one
-- For a single request, which waits up to lock_timeout.
SELECT {terms}, {saved}
FROM payments
WHERE id = $1
FOR NO KEY UPDATE

-- name: newest_of_orders
SELECT DISTINCT ON (order_id) order_id, id FROM payments WHERE order_id = ANY ($1::text[]) ORDER BY order_id, attempt DESC

-- name: of_objects
-- The payments that own these intents, or have these ids. $1 provider, $2 intents, $3 payments. A call is in flight while a worker
-- makes it, or while it is due and young; an older one does not explain a difference.
SELECT {terms}, {saved}, capture_method, created_at,
       EXISTS (SELECT FROM operations o
               WHERE o.payment_id = p.id
                 AND (o.state = 'claimed' OR o.state = 'due' AND o.created_at > now() - interval '5 minutes')) AS in_flight,
       ARRAY(SELECT DISTINCT o.kind FROM operations o WHERE o.payment_id = p.id) AS kinds
FROM payments p
WHERE p.provider = $1 AND p.id IN (
    SELECT q.id FROM payments q WHERE q.provider = $1 AND q.provider_payment_id = ANY ($2::text[])
    UNION
    SELECT unnest($3::uuid[])
)

-- name: lock_expiring
-- `expiring_at` is null for payments that are paid, ended, authorized or in process at a bank.
SELECT {terms}, {saved}, expiry_due_at
FROM payments
WHERE expiring_at <= $1 AND provider = ANY ($2::text[])
ORDER BY expiring_at
LIMIT $3
FOR NO KEY UPDATE SKIP LOCKED

-- name: postpone_expiry
UPDATE payments SET expiry_due_at = $2 WHERE id = ANY ($1::uuid[])

-- name: last_of_order
SELECT {terms}, {saved}
FROM payments
WHERE order_id = $1
ORDER BY attempt DESC
LIMIT 1

-- name: opened_by
SELECT p.id FROM payments p JOIN operations o ON o.payment_id = p.id WHERE p.order_id = $1 AND o.kind = 'create' AND o.cause = $2

-- name: has_unexpected_money
-- Unexpected money for a payment of the order, which no operator has resolved yet.
SELECT EXISTS (SELECT FROM payment_events WHERE parked_reason = 'unexpected_money' AND payment_id IN (SELECT id FROM payments WHERE order_id = $1))
    OR EXISTS (SELECT FROM operations WHERE state = 'parked' AND outcome = 'unexpected_money' AND payment_id IN (SELECT id FROM payments WHERE order_id = $1))

-- name: open_next
-- Only after a payment that ended unpaid, which is final. The unique constraints admit one of several concurrent requests.
WITH opened AS (
    INSERT INTO payments (id, order_id, attempt, user_id, provider, amount, currency, order_topic, order_partition, order_offset, traceparent,
                          capture_method, metadata, expires_at, expiry_due_at)
    SELECT $2, order_id, attempt + 1, user_id, provider, amount, currency, order_topic, order_partition, order_offset, traceparent, capture_method,
           metadata, $3::timestamptz, $3::timestamptz
    FROM payments
    WHERE id = $1 AND status IN ('canceled', 'failed')
    ON CONFLICT DO NOTHING
    RETURNING id, provider, capture_method
), polled AS (
    INSERT INTO polls (payment_id, provider, due_at) SELECT id, provider, now() + $4::float8 * interval '1 s' FROM opened
)
SELECT capture_method FROM opened

-- name: of_intents
SELECT p.provider, p.provider_payment_id, p.id
FROM unnest($1::text[], $2::text[]) AS v (provider, intent_id)
JOIN payments p ON p.provider = v.provider AND p.provider_payment_id = v.intent_id

-- name: intent_of
SELECT provider_payment_id FROM payments WHERE id = $1

-- name: traceparent_of
SELECT traceparent FROM payments WHERE id = $1

-- name: existing
SELECT id, order_id, provider, amount, currency, user_id FROM payments WHERE id = ANY ($1::uuid[])

-- name: of_orders
SELECT order_id, provider, amount, currency, user_id FROM payments WHERE order_id = ANY ($1::text[]) AND attempt = 1

-- name: save
-- One row per payment: UPDATE ... FROM applies only one of several rows for the same payment, so the caller folds first. $19: the
-- payments that are polled no longer. $20: those that show the result of a call. `parked`: an operation of such a payment is. With
-- EXISTS instead of LIMIT 1, the plan would read all operations.
WITH ended AS (
    DELETE FROM polls WHERE payment_id = ANY ($19::uuid[])
)
UPDATE payments p
SET {saved.set}, updated_at = now()
FROM unnest($1::uuid[], $2::text[], $3::integer[], {saved.arrays 4}) AS v (id, was_status, was_sequence, {saved})
WHERE p.id = v.id AND p.status = v.was_status AND p.sequence = v.was_sequence
  AND (p.provider_payment_id IS NULL OR p.provider_payment_id = v.provider_payment_id)
RETURNING p.id = ANY ($20::uuid[])
      AND (SELECT true FROM operations o WHERE o.payment_id = p.id AND coalesce(o.state, '') = 'parked' LIMIT 1) AS parked

-- name: is_captured_manually
SELECT capture_method = 'manual' FROM payments WHERE id = $1

-- name: unpaid_code
-- The code with which the end of an unpaid payment was published.
SELECT convert_from(payload, 'UTF8')::json ->> 'code' FROM outbox
WHERE aggregateid = $1 AND type = 'payments.failed'
ORDER BY position DESC
LIMIT 1
