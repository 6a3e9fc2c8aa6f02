-- columns: shown
id
payment_id
order_id
amount
currency
reason
requested_by
client
key
parameters
requested_at
expires_at
decision
decided_by
decided_at
expired

-- name: create
INSERT INTO approvals (payment_id, amount, currency, reason, requested_by, client, key, key_id, parameters, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, now() + $10::interval)
RETURNING id

-- name: find
SELECT {shown} FROM approvals_shown WHERE id = $1

-- name: of_key
SELECT {shown} FROM approvals_shown WHERE client = $1 AND key = $2

-- name: open
SELECT {shown} FROM approvals_shown WHERE decision IS NULL AND expires_at > now() ORDER BY expires_at LIMIT $1

-- name: count_open
SELECT count(*) FROM approvals WHERE client = $1 AND decision IS NULL AND expires_at > now()

-- name: of_payment
SELECT {shown} FROM approvals_shown WHERE payment_id = $1 ORDER BY requested_at DESC LIMIT $2
