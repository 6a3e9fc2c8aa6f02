-- Slices of rows to compare. Each statement reads a short range of an index.

-- name: payments_after
SELECT id FROM payments WHERE id > $1 ORDER BY id LIMIT $2

-- name: created_after
SELECT id, created_at FROM payments WHERE (created_at, id) > ($1, $2::uuid) ORDER BY created_at, id LIMIT $3

-- name: changed_in
-- Each payment once, by its last row in the history. The slice of payments by creation has the younger ones.
SELECT h.payment_id
FROM payment_history h
JOIN payments p ON p.id = h.payment_id
WHERE h.id > $1 AND h.id <= $2 AND p.created_at < $3
  AND NOT EXISTS (SELECT FROM payment_history l WHERE l.payment_id = h.payment_id AND l.id > h.id)

-- name: records_after
SELECT max(position) AS last FROM (SELECT position FROM outbox WHERE position > $1 ORDER BY position LIMIT $2) chunk

-- name: history_after
SELECT max(id) AS last FROM (SELECT id FROM payment_history WHERE id > $1 ORDER BY id LIMIT $2) chunk

-- name: record_from
-- The time of the first record from a position on.
SELECT created_at FROM outbox WHERE position >= $1 ORDER BY position LIMIT 1

-- name: last_record
SELECT position FROM outbox ORDER BY position DESC LIMIT 1

-- name: history_from
SELECT created_at FROM payment_history WHERE id >= $1 ORDER BY id LIMIT 1

-- name: last_history
SELECT id FROM payment_history ORDER BY id DESC LIMIT 1

-- name: records_of
SELECT position FROM outbox WHERE aggregateid = ANY ($1::uuid[]) ORDER BY position

-- name: beginnings_of
SELECT min(id) AS id FROM payment_history WHERE payment_id = ANY ($1::uuid[]) GROUP BY payment_id ORDER BY id
