-- Each query finds payments by one kind of name, on one index: (payment_id, name), the newest first, at most $2. `provider` stands
-- first in some indexes, so these get the installed providers as $3.

-- name: orders
SELECT id AS payment_id, order_id AS name FROM payments WHERE order_id = $1 ORDER BY attempt DESC LIMIT $2

-- name: payments
SELECT id AS payment_id, id::text AS name FROM payments WHERE id = $1::text::uuid LIMIT $2

-- name: refunds
SELECT payment_id, id::text AS name FROM refunds WHERE id = $1::text::uuid LIMIT $2

-- name: disputes
SELECT payment_id, id::text AS name FROM disputes WHERE id = $1::text::uuid LIMIT $2

-- name: intents
SELECT id AS payment_id, provider_payment_id AS name
FROM payments
WHERE provider = ANY ($3::text[]) AND provider_payment_id = $1 AND provider_payment_id IS NOT NULL
LIMIT $2

-- name: charges
SELECT payment_id, provider_charge_id AS name FROM payment_attempts WHERE provider_charge_id = $1 LIMIT $2

-- name: provider_refunds
SELECT payment_id, provider_refund_id AS name
FROM refunds
WHERE provider = ANY ($3::text[]) AND provider_refund_id = $1 AND provider_refund_id IS NOT NULL
LIMIT $2

-- name: provider_disputes
SELECT payment_id, provider_dispute_id AS name FROM disputes WHERE provider = ANY ($3::text[]) AND provider_dispute_id = $1 LIMIT $2

-- name: events
SELECT payment_id, provider_event_id AS name
FROM payment_events
WHERE provider = ANY ($3::text[]) AND provider_event_id = $1 AND payment_id IS NOT NULL
LIMIT $2

-- name: bank_references
SELECT payment_id, bank_reference AS name FROM refunds WHERE bank_reference = $1 LIMIT $2

-- name: cards
-- $1: last4, $3: the amount as decimal text, $4: the currency, or NULL for any. The currencies of an amount share their index entries,
-- so a currency is one of at most a few hundred rows.
SELECT payment_id, card_last4 || ' ' || $3::text AS name
FROM (SELECT *
      FROM payment_attempts
      WHERE card_last4 IS NOT NULL AND (card_last4, in_major_units(amount, currency)) = ($1, $3::text::numeric)
      ORDER BY card_last4 DESC, in_major_units(amount, currency) DESC, occurred_at DESC, payment_id DESC
      LIMIT 1000) a
WHERE $4::text IS NULL OR currency = $4
ORDER BY occurred_at DESC, payment_id DESC
LIMIT $2
