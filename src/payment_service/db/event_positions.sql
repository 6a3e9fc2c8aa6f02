-- name: ensure
-- A new database has no payments yet, so it needs no events from before its first minute.
INSERT INTO event_positions (provider, events_read_until) VALUES ($1, floor(extract(epoch FROM now()))::bigint - 60) ON CONFLICT DO NOTHING

-- name: claim_events
-- Claims the next page of events for $4 seconds, and pays for it, in one autocommitted statement. Only one replica gets it. A page
-- needs a whole token, which a queue of operations leaves only when it has no work. A page also takes one token in advance if the
-- last page is $5 seconds ago, because a page of events may hold the payments of a hundred customers.
-- $1 provider, $2 tokens per second, $3 burst.
WITH level AS (
    SELECT least($3::float8, b.tokens + $2::float8 * extract(epoch FROM clock_timestamp() - b.refilled_at)) AS tokens
    FROM provider_budget b
    WHERE b.provider = $1 AND EXISTS (SELECT FROM event_positions WHERE provider = $1 AND events_due_at <= now())
    FOR UPDATE
), claimed AS (
    UPDATE event_positions p
    SET round = p.round + 1, events_due_at = now() + $4::float8 * interval '1 s', events_claimed_at = now()
    FROM level l
    WHERE p.provider = $1 AND p.events_due_at <= now()
      AND (l.tokens >= 1 OR l.tokens >= 0 AND p.events_claimed_at < now() - $5::float8 * interval '1 s')
    RETURNING p.round, p.events_read_until, p.window_until, p.events_after, p.clock_ahead_s, p.failures
), paid AS (
    UPDATE provider_budget b SET tokens = l.tokens - 1, refilled_at = clock_timestamp()
    FROM level l, claimed c
    WHERE b.provider = $1
)
SELECT round, events_read_until, window_until, events_after, clock_ahead_s, failures, floor(extract(epoch FROM now()))::bigint AS now_s
FROM claimed

-- name: save_events
-- Only the current round: a process that was paused cannot move the position of another one back.
UPDATE event_positions
SET events_read_until = $3, window_until = $4, events_after = $5, clock_ahead_s = $6, failures = $7,
    events_due_at = now() + $8::float8 * interval '1 s'
WHERE provider = $1 AND round = $2
