-- name: items
-- Money without a reference of this service.
SELECT transaction_id AS name, account AS owner, concat_ws(' ', in_major_units(amount, currency), currency) AS subject, text AS detail,
       created_at AS since
FROM bank_transfers
WHERE outcome = 'transfer.unmatched'
ORDER BY created_at, transaction_id
LIMIT $1

-- name: count
SELECT count(*) FROM (SELECT FROM bank_transfers WHERE outcome = 'transfer.unmatched' LIMIT $1) t

-- name: find
SELECT transaction_id AS name, account AS owner, concat_ws(' ', in_major_units(amount, currency), currency) AS subject, text AS detail,
       created_at AS since
FROM bank_transfers
WHERE outcome = 'transfer.unmatched' AND transaction_id = $1
ORDER BY account

-- name: close
-- The row stays, so that a repeated import changes nothing.
UPDATE bank_transfers SET outcome = 'transfer.closed'
WHERE transaction_id = $1 AND account = $2 AND outcome = 'transfer.unmatched'
RETURNING transaction_id
