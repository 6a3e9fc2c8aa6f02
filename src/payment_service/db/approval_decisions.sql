-- The operator's role runs these; the service's role may not.

-- name: lock
-- Apart from the read, so that the row is read as the transaction before left it.
SELECT id FROM approvals WHERE id = $1 FOR UPDATE

-- name: decide
-- By the time of this statement: a request may expire while its decision waits for a lock.
UPDATE approvals SET decision = $2, decided_by = $3, decided_at = now()
WHERE id = $1 AND decision IS NULL AND expires_at > clock_timestamp()
RETURNING id
