-- name: open_intent
-- Once per payment, whatever the idempotency key: a second intent would have the same reference.
INSERT INTO bank_intents (reference, payment_id, amount, currency) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING

-- name: intent
SELECT reference, payment_id, amount, currency, status, created_at, ended_at FROM bank_intents WHERE reference = $1

-- name: lock_intent
SELECT reference, payment_id, amount, currency, status, created_at, ended_at FROM bank_intents WHERE reference = $1
FOR UPDATE

-- name: asked_for
SELECT i.reference, i.payment_id, i.amount, i.currency, i.status, i.created_at, i.ended_at
FROM bank_intents i
WHERE i.reference = $1 OR i.payment_id = ANY (ARRAY(SELECT id FROM payments WHERE order_id = $1 UNION SELECT $2::uuid))
ORDER BY i.created_at DESC
LIMIT 1

-- name: intents_between
SELECT reference, payment_id, amount, currency, status, created_at, ended_at FROM bank_intents
WHERE created_at BETWEEN $1 AND $2
ORDER BY created_at, reference
LIMIT $3

-- name: cancel_intent
-- The cancel or the money: the first one decides.
UPDATE bank_intents SET status = 'canceled', ended_at = now() WHERE reference = $1 AND status = 'pending'

-- name: pay_intent
UPDATE bank_intents SET status = 'succeeded', ended_at = $2 WHERE reference = $1 AND status = 'pending'

-- name: claim_transfer
-- A concurrent import of the same transaction waits here and then finds it.
INSERT INTO bank_transfers (account, transaction_id, amount, currency, booked_on, text) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING transaction_id

-- name: record_outcome
UPDATE bank_transfers SET outcome = $3, reference = $4 WHERE account = $1 AND transaction_id = $2

-- name: lock_transfer
SELECT transaction_id, amount, currency, outcome, reference, booked_on, text FROM bank_transfers WHERE account = $1 AND transaction_id = $2
FOR UPDATE

-- name: transfer
SELECT transaction_id, amount, currency, outcome, reference, booked_on, text FROM bank_transfers WHERE account = $1 AND transaction_id = $2

-- name: unmatched
SELECT transaction_id, amount, currency, outcome, reference, booked_on, text FROM bank_transfers
WHERE account = $1 AND outcome = 'transfer.unmatched'
ORDER BY created_at, transaction_id
LIMIT $2

-- name: open_refunds
SELECT r.refund_id, r.payment_id, p.order_id, p.user_id, r.amount, r.currency, r.created_at
FROM bank_refunds r
JOIN payments p ON p.id = r.payment_id
WHERE r.status = 'pending'
ORDER BY r.created_at, r.refund_id
LIMIT $1

-- name: open_refund_of
SELECT r.refund_id, r.payment_id, p.order_id, p.user_id, r.amount, r.currency, r.created_at
FROM bank_refunds r
JOIN payments p ON p.id = r.payment_id
WHERE r.refund_id = $1 AND r.status = 'pending'

-- name: open_intents_of
SELECT i.reference, p.order_id, p.user_id, i.created_at
FROM bank_intents i
JOIN payments p ON p.id = i.payment_id
WHERE i.status = 'pending' AND i.amount = $1 AND i.currency = $2
ORDER BY i.created_at DESC, i.reference
LIMIT $3

-- name: open_refund
INSERT INTO bank_refunds (refund_id, payment_id, reference, amount, currency) VALUES ($1, $2, $3, $4, $5)

-- name: refund
SELECT refund_id, payment_id, reference, amount, currency, status, failure, updated_at FROM bank_refunds WHERE refund_id = $1

-- name: lock_refund
SELECT refund_id, payment_id, reference, amount, currency, status, failure, updated_at FROM bank_refunds WHERE refund_id = $1
FOR UPDATE

-- name: refunds_of
SELECT refund_id, payment_id, reference, amount, currency, status, failure, updated_at FROM bank_refunds WHERE reference = $1
ORDER BY refund_id

-- name: end_refund
UPDATE bank_refunds SET status = $2, failure = $3, updated_at = now() WHERE refund_id = $1
RETURNING refund_id, payment_id, reference, amount, currency, status, failure, updated_at
