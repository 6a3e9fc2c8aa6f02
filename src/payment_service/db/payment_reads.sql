-- Reads for people and callers. They go through the view, which alone knows decimals and the derived statuses.

-- name: payment
SELECT id, order_id, user_id, status, amount::text, amount_captured::text, amount_refunded::text, currency, provider,
       provider_payment_id, created_at, updated_at
FROM payments_decimal
WHERE id = $1

-- name: payments_of_order
SELECT id, order_id, user_id, status, amount::text, amount_captured::text, amount_refunded::text, currency, provider,
       provider_payment_id, created_at, updated_at
FROM payments_decimal
WHERE order_id = $1
  AND ($2::uuid IS NULL OR (created_at, id) > (SELECT created_at, id FROM payments WHERE id = $2))
ORDER BY created_at, id
LIMIT $3

-- name: payment_exists
SELECT EXISTS (SELECT FROM payments WHERE id = $1)

-- name: payment_is_of_order
SELECT EXISTS (SELECT FROM payments WHERE id = $1 AND order_id = $2)

-- name: event_is_of_payment
SELECT EXISTS (SELECT FROM payment_events WHERE id = $1 AND payment_id = $2)

-- name: events_of_payment
SELECT id, event_type AS type, provider_event_id, processed, result, occurred_at, created_at
FROM payment_events
WHERE payment_id = $1
  AND ($2::uuid IS NULL OR (occurred_at, id) > (SELECT occurred_at, id FROM payment_events WHERE id = $2 AND payment_id = $1))
ORDER BY occurred_at, id
LIMIT $3
