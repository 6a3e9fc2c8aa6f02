-- name: register
INSERT INTO workers (id, host, pid) VALUES ($1, $2, $3)

-- name: heartbeat
-- A gap of 5 s starts a new series: other workers may have taken the operations meanwhile.
UPDATE workers
SET heartbeat_at = now(), heartbeating_since = CASE WHEN heartbeat_at < now() - interval '5 s' THEN now() ELSE heartbeating_since END
WHERE id = $1
RETURNING id

-- name: leave
DELETE FROM workers WHERE id = $1

-- name: delete_dead
-- Rows of processes that died over an hour ago and hold no claim.
DELETE FROM workers w
WHERE w.heartbeat_at < now() - interval '1 h' AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.worker = w.id AND o.state = 'claimed')
