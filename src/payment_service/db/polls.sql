-- name: begin_round
-- Only one replica gets a round. Reads come after all other work: the bucket is half full, so operations wait for no token, and the
-- reads of the last round are claimed. $1 provider, $2 seconds until the next round, $3 tokens per second, $4 burst.
UPDATE provider_budget SET polls_due_at = now() + $2::float8 * interval '1 s'
WHERE provider = $1 AND polls_due_at <= now()
  AND tokens + $3::float8 * extract(epoch FROM clock_timestamp() - refilled_at) >= $4::float8 / 2
  AND NOT EXISTS (SELECT FROM operations WHERE state = 'due' AND provider = $1 AND kind = 'retrieve' AND due_at <= now() - interval '1 s')
RETURNING provider

-- name: lock_due
-- The payments are not locked: their rows only say what to read. $3: the statuses of closed disputes. Any other is open, also one that is
-- not known.
SELECT w.payment_id, w.tries, p.provider, p.provider_payment_id, p.status, p.reserved > 0 AS refunds_pending,
       EXISTS (SELECT FROM disputes d WHERE d.payment_id = w.payment_id AND d.status <> ALL ($3::text[])) AS disputed
FROM polls w
JOIN payments p ON p.id = w.payment_id
WHERE w.provider = $1 AND w.due_at <= now()
ORDER BY w.due_at
LIMIT $2
FOR UPDATE OF w SKIP LOCKED

-- name: postpone
UPDATE polls w SET due_at = now() + v.wait_s * interval '1 s', tries = w.tries + 1
FROM unnest($1::uuid[], $2::float8[]) AS v (payment_id, wait_s)
WHERE w.payment_id = v.payment_id

-- name: request
-- For locked payments, in the order of their ids. An earlier poll stays.
INSERT INTO polls (payment_id, provider, due_at, tries)
SELECT payment_id, provider, now() + wait_s * interval '1 s', tries
FROM unnest($1::uuid[], $2::text[], $3::float8[], $4::integer[]) AS v (payment_id, provider, wait_s, tries)
ORDER BY payment_id
ON CONFLICT (payment_id) DO UPDATE
SET due_at = least(polls.due_at, excluded.due_at), tries = least(polls.tries, excluded.tries)

-- name: end
DELETE FROM polls WHERE payment_id = ANY ($1::uuid[])
