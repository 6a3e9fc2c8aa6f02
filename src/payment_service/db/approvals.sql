-- columns: shown
id
payment_id
amount
currency
reason
requested_by
requested_at
expires_at
decision
decided_by
decided_at

-- name: create
INSERT INTO approvals (payment_id, amount, currency, reason, requested_by, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + $6::interval)
RETURNING id

-- name: find
SELECT {shown}, expires_at <= now() AS expired FROM approvals WHERE id = $1

-- name: lock
SELECT {shown}, expires_at <= now() AS expired FROM approvals WHERE id = $1 FOR UPDATE

-- name: open
SELECT {shown}, false AS expired FROM approvals WHERE decision IS NULL AND expires_at > now() ORDER BY requested_at LIMIT $1

-- name: of_payment
SELECT {shown}, expires_at <= now() AS expired FROM approvals WHERE payment_id = $1 ORDER BY requested_at DESC LIMIT $2

-- name: decide
UPDATE approvals SET decision = $2, decided_by = $3, decided_at = now() WHERE id = $1 AND decision IS NULL
