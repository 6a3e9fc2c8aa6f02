-- name: register
INSERT INTO workers (id, host, pid) VALUES ($1, $2, $3)

-- name: heartbeat
-- Also returns what a claim must know: whether others died, the blocked kinds of the provider, and whether an operation of the kinds $3
-- became due after $4. A gap of 5 s starts a new series: other workers may have taken the operations meanwhile.
UPDATE workers
SET heartbeat_at = now(), heartbeating_since = CASE WHEN heartbeat_at < now() - interval '5 s' THEN now() ELSE heartbeating_since END
WHERE id = $1
RETURNING EXISTS (SELECT FROM workers w WHERE w.heartbeat_at <= now() - interval '5 s') AS some_died,
          ARRAY(SELECT kind FROM provider_health WHERE provider = $2 AND blocked_since IS NOT NULL) AS blocked,
          EXISTS (SELECT FROM unnest($3::text[]) AS k (kind) CROSS JOIN LATERAL (
                      SELECT FROM operations o
                      WHERE o.state = 'due' AND o.provider = $2 AND o.kind = k.kind AND o.due_at > $4 AND o.due_at <= now()
                      LIMIT 1) AS due) AS some_due

-- name: leave
-- The row stays until nothing is claimed under its id, so that another worker finds what is.
UPDATE workers SET heartbeat_at = '-infinity' WHERE id = $1

-- name: delete_dead
-- Rows of dead processes that hold no claim. One that was only suspended inserts its row again.
DELETE FROM workers w
WHERE w.heartbeat_at <= now() - interval '5 s' AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.worker = w.id AND o.state = 'claimed')
