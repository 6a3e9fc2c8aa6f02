-- name: enqueue
-- Epoch 0 sends nothing: it only reads what exists at the provider. With a worker, an operation is claimed from the start. It never
-- gets an entry in the index of due operations.
INSERT INTO operations (id, payment_id, provider, kind, cause, request_method, request_path, request_body, api_version, epoch, resolving,
                        worker, state, attempt, tries, ever_sent, first_sent_at, last_sent_at)
SELECT id, payment_id, provider, kind, cause, method, path, body, api_version, epoch, epoch = 0,
       worker, CASE WHEN worker IS NULL THEN 'due' ELSE 'claimed' END, (worker IS NOT NULL)::integer, (worker IS NOT NULL)::integer,
       worker IS NOT NULL, coalesce(first_sent_at, CASE WHEN worker IS NOT NULL THEN now() END), CASE WHEN worker IS NOT NULL THEN now() END
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::integer[],
            $11::timestamptz[], $12::uuid[]) AS v (id, payment_id, provider, kind, cause, method, path, body, api_version, epoch, first_sent_at, worker)
ON CONFLICT (id) DO NOTHING
RETURNING id, payment_id, kind, cause, request_method, request_path, request_body, api_version, epoch, attempt, tries, resolving,
          outcome AS last_outcome, withdrawal, first_sent_at, last_sent_at, empty_read_at, due_at, now() AS claimed_at, worker

-- name: enqueue_again
-- Makes finished reads due again, so that a payment that is polled a hundred times has one row. A read that waits or is parked stays
-- as it is. Each poll is an epoch, because its first attempt is younger than those of the poll before.
INSERT INTO operations (id, payment_id, provider, kind, cause, request_method, request_path, request_body, api_version)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
ON CONFLICT (id) DO UPDATE
SET state = 'due', due_at = now(), tries = 0, epoch = operations.epoch + 1, resolving = false, first_sent_at = NULL,
    last_sent_at = NULL, finished_at = NULL, request_path = excluded.request_path, api_version = excluded.api_version
WHERE operations.state IN ('done', 'refused') AND operations.kind = 'retrieve'

-- name: retry_strays
-- Cancels of strays that are unpaid again. A refused cancel needs a new key: the provider stores the refusal under the old one.
UPDATE operations
SET due_at = now(), state = 'due', finished_at = NULL, tries = 0, resolving = false, empty_read_at = NULL,
    epoch = CASE WHEN state = 'due' THEN epoch ELSE epoch + 1 END,
    first_sent_at = CASE WHEN state = 'due' THEN first_sent_at END
WHERE id = ANY ($1::uuid[]) AND state IN ('due', 'refused', 'parked') AND kind = 'cancel' AND cause LIKE 'stray:%'

-- name: claim
-- One autocommitted statement: reads how many tokens there are, picks that many operations, debits the shared bucket, marks the claim.
-- It picks the oldest unfinished operation of each payment (reads and strays wait for nothing), at most as many as there are slots ($3)
-- and tokens, and locks no others. The literal limits keep the plan on the index: a limit that the planner cannot see is 100 times
-- slower. So is NOT EXISTS (an older one): planned while the table was small, it scanned all unfinished operations for each row, and
-- with 10,000 waiting orders a claim took 28 ms instead of 1.4. Each kind is searched separately, because stepping over 100,000
-- operations of a blocked kind took 50 ms per claim. The search begins after $8, below which nothing was left: an old snapshot
-- retains the index entry of every operation that was ever due. `looked_until`: nothing that is due before was left.
-- `coalesce` hides the state from the planner. A partial index of so few rows looks like the shortest way to a row, and is long while
-- an old snapshot retains its entries.
-- $1 worker, $2 provider, $4 tokens per second, $5 burst, $6 kinds that are not blocked, $7 seconds after its first use, a key no
-- longer protects a call.
WITH budget AS MATERIALIZED (
    SELECT version, floor(least($5::float8, tokens + $4::float8 * extract(epoch FROM clock_timestamp() - refilled_at)))::bigint AS free
    FROM provider_budget
    WHERE provider = $2
    ORDER BY version DESC
    LIMIT 1
), candidate AS MATERIALIZED (
    SELECT f.id, f.due_at
    FROM unnest($6::text[]) AS k (kind)
    CROSS JOIN LATERAL (
        SELECT o.id, o.due_at FROM operations o
        WHERE o.state = 'due' AND o.provider = $2 AND o.kind = k.kind AND o.due_at > $8 AND o.due_at <= now()
          AND (o.kind = 'retrieve' OR o.cause LIKE 'stray:%' OR o.position = (
              SELECT e.position FROM operations e
              WHERE e.payment_id = o.payment_id AND e.state IN ('due', 'claimed', 'parked')
                AND e.kind <> 'retrieve' AND e.cause NOT LIKE 'stray:%'
              ORDER BY e.position LIMIT 1))
        ORDER BY o.due_at
        LIMIT 64
    ) f
    WHERE (SELECT free FROM budget) >= 1
    ORDER BY f.due_at
    LIMIT 64
), picked AS MATERIALIZED (
    SELECT o.id
    FROM candidate c
    JOIN operations o ON o.id = c.id
    WHERE coalesce(o.state, '') = 'due' AND o.due_at <= now()
    ORDER BY c.due_at
    LIMIT greatest(least($3::bigint, (SELECT free FROM budget)), 0)
    FOR UPDATE OF o SKIP LOCKED
), level AS (
    SELECT provider, least($5::float8, tokens + $4::float8 * extract(epoch FROM clock_timestamp() - refilled_at)) AS tokens
    FROM provider_budget
    WHERE provider = $2 AND version >= (SELECT version FROM budget) AND EXISTS (SELECT 1 FROM picked)
    FOR UPDATE
), debit AS (
    SELECT provider, tokens, least((SELECT count(*) FROM picked), greatest(floor(tokens), 0)) AS granted FROM level
), bucket AS (
    UPDATE provider_budget b
    SET tokens = d.tokens - d.granted, refilled_at = clock_timestamp(), version = b.version + 1
    FROM debit d
    WHERE b.provider = d.provider AND b.version >= (SELECT version FROM budget)
), claimed AS (
    UPDATE operations o
    SET state = 'claimed', worker = $1, attempt = o.attempt + 1, tries = o.tries + 1, ever_sent = true,
        resolving = o.resolving OR coalesce(o.first_sent_at < now() - $7::float8 * interval '1 s', false),
        first_sent_at = coalesce(o.first_sent_at, now()),
        last_sent_at = CASE WHEN o.resolving OR coalesce(o.first_sent_at < now() - $7::float8 * interval '1 s', false) THEN o.last_sent_at ELSE now() END
    WHERE o.id = ANY (ARRAY(SELECT id FROM picked LIMIT coalesce((SELECT granted FROM debit), 0)))
    RETURNING o.id, o.payment_id, o.kind, o.cause, o.request_method, o.request_path, o.request_body, o.api_version, o.epoch,
              o.attempt, o.tries, o.resolving, o.outcome AS last_outcome, o.withdrawal, o.first_sent_at, o.last_sent_at, o.empty_read_at, o.due_at
), looked AS (
    SELECT coalesce(
        (SELECT min(c.due_at) FROM candidate c WHERE NOT EXISTS (SELECT FROM claimed WHERE claimed.id = c.id)),
        (SELECT CASE WHEN count(*) < 64 THEN now() ELSE max(c.due_at) END FROM candidate c)) AS until
)
SELECT c.*, now() AS claimed_at, b.free, CASE WHEN b.free >= 1 THEN (SELECT until FROM looked) ELSE $8 END AS looked_until
FROM (SELECT max(free) AS free FROM budget) b
LEFT JOIN claimed c ON true

-- name: release_orphaned
-- Makes operations of dead workers due again, in one autocommitted statement. A worker does so only after 5 s of heartbeats of its
-- own without a gap. $2 also releases those of workers that have no row.
UPDATE operations
SET state = 'due', worker = NULL, due_at = now()
WHERE EXISTS (SELECT FROM workers WHERE id = $1 AND heartbeat_at > now() - interval '5 s' AND heartbeating_since < now() - interval '5 s')
  AND id = ANY (ARRAY(
      SELECT o.id
      FROM (SELECT id FROM workers WHERE heartbeat_at <= now() - interval '5 s'
            UNION ALL
            SELECT DISTINCT worker FROM operations
            WHERE $2 AND state = 'claimed' AND NOT EXISTS (SELECT FROM workers w WHERE w.id = operations.worker)) dead
      JOIN operations o ON o.worker = dead.id AND o.state = 'claimed'
      LIMIT 1000
      FOR UPDATE OF o SKIP LOCKED))
RETURNING id

-- name: record_results
-- Finishes attempts, or makes their operations due again. Only the current attempt: a process that was paused cannot undo the work
-- of another one. Each operation keeps its last 10 attempts, about 150 bytes each. That is more than a normal operation has, and
-- enough to see why one fails that is retried every minute for days.
WITH finished AS MATERIALIZED (
    SELECT o.payment_id FROM unnest($1::uuid[], $3::text[]) AS v (id, state) JOIN operations o ON o.id = v.id
    WHERE v.state IN ('done', 'refused')
), followed AS (
    -- Operations that waited for a finished one. They are due from now on, because claims search only above what they saw last.
    UPDATE operations SET due_at = now()
    WHERE payment_id = ANY (ARRAY(SELECT payment_id FROM finished)) AND coalesce(state, '') = 'due'
      AND due_at < now() AND id <> ALL ($1)
    RETURNING id
)
UPDATE operations o
SET state = v.state, worker = NULL, outcome = v.outcome, outcome_code = v.code, outcome_detail = v.detail,
    provider_request_id = coalesce(nullif(v.request_id, ''), o.provider_request_id),
    attempts = CASE WHEN jsonb_array_length(o.attempts) < 10 THEN o.attempts ELSE o.attempts - 0 END || jsonb_build_object(
        'attempt', o.attempt, 'epoch', o.epoch, 'at', now(), 'sent_at', CASE WHEN NOT o.resolving THEN o.last_sent_at END,
        'outcome', v.outcome, 'code', v.code, 'provider_request_id', v.request_id),
    due_at = now() + v.delay_s * interval '1 s',
    finished_at = CASE WHEN v.state IN ('done', 'refused') THEN now() END,
    tries = CASE WHEN v.next_epoch THEN 0 ELSE o.tries END,
    epoch = o.epoch + CASE WHEN v.next_epoch THEN 1 ELSE 0 END,
    first_sent_at = CASE WHEN v.next_epoch THEN NULL ELSE o.first_sent_at END,
    resolving = CASE WHEN v.next_epoch THEN false ELSE o.resolving OR v.resolving END,
    empty_read_at = CASE WHEN v.next_epoch THEN NULL WHEN v.empty_read THEN coalesce(o.empty_read_at, now()) ELSE o.empty_read_at END
FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[], $9::boolean[], $10::boolean[], $11::boolean[])
     AS v (id, attempt, state, outcome, code, detail, request_id, delay_s, resolving, empty_read, next_epoch)
WHERE o.id = v.id AND o.attempt = v.attempt AND coalesce(o.state, '') = 'claimed'
RETURNING o.id, EXISTS (SELECT FROM followed) AS followed,
          (SELECT true FROM provider_health h WHERE h.provider = o.provider LIMIT 1) AS refused

-- name: request_of
SELECT request_method, request_path, request_body, api_version FROM operations WHERE id = $1

-- name: finish_known
-- Operations that were parked without a known result, which the payments show by now: their intent, or that it is final.
UPDATE operations o SET state = 'done', outcome = 'found', outcome_code = '', finished_at = now()
FROM payments p
WHERE o.payment_id = ANY ($1::uuid[]) AND o.state = 'parked' AND o.cause NOT LIKE 'stray:%' AND p.id = o.payment_id
  AND ((o.kind = 'create' AND p.provider_payment_id IS NOT NULL)
       OR (o.kind IN ('capture', 'cancel') AND p.status IN ('succeeded', 'canceled', 'failed')))

-- name: parked_kind
-- The oldest parked operation that later ones wait for. Reads and strays block nothing.
SELECT kind FROM operations
WHERE payment_id = $1 AND state = 'parked' AND kind <> 'retrieve' AND cause NOT LIKE 'stray:%'
ORDER BY position LIMIT 1

-- name: unfinished_kinds
SELECT kind FROM operations
WHERE payment_id = $1 AND state IN ('due', 'claimed', 'parked') AND kind = ANY ($2::text[]) AND cause NOT LIKE 'stray:%'
ORDER BY position

-- name: explains
-- Whether an operation of this kind is known that can have changed the payment's own intent.
SELECT EXISTS (SELECT FROM operations WHERE payment_id = $1 AND kind = $2 AND state <> 'refused' AND cause NOT LIKE 'stray:%')

-- name: is_being_read
-- Whether a read of the payment's own intent is queued after a recovery or a replayed answer, so that its row may be behind the
-- provider.
SELECT EXISTS (SELECT FROM operations WHERE payment_id = $1 AND kind = 'retrieve' AND state IN ('due', 'claimed')
               AND (cause LIKE 'intent:recovery:%' OR cause LIKE 'intent:after:%'))

-- name: being_canceled
SELECT DISTINCT payment_id FROM operations
WHERE payment_id = ANY ($1::uuid[]) AND state IN ('due', 'claimed', 'parked') AND kind = 'cancel' AND cause NOT LIKE 'stray:%'

-- name: withdraw_create
-- "Never sent" is a statement about this database, which may be a restored backup. So the create is looked for at the provider
-- (epoch 0 sends nothing) and ends only if there is none.
UPDATE operations
SET withdrawal = $2, epoch = 0, resolving = true, first_sent_at = coalesce(first_sent_at, created_at), due_at = now()
WHERE payment_id = $1 AND kind = 'create' AND state = 'due' AND NOT ever_sent

-- name: release_unsent
-- Attempts that were never sent: as if they had not been claimed.
UPDATE operations o
SET state = 'due', worker = NULL, due_at = now(), tries = greatest(o.tries - 1, 0)
FROM unnest($1::uuid[], $2::integer[]) AS v (id, attempt)
WHERE o.id = v.id AND o.attempt = v.attempt AND o.state = 'claimed'

-- name: release_unknown
-- Claims of this worker that it does not know about: the answer to its claim was lost.
UPDATE operations SET state = 'due', worker = NULL, due_at = now()
WHERE worker = $1 AND state = 'claimed' AND NOT (id = ANY ($2::uuid[]))
RETURNING id

-- name: ensure_budget
INSERT INTO provider_budget (provider, tokens)
SELECT $1, 0 WHERE NOT EXISTS (SELECT FROM provider_budget WHERE provider = $1)
ON CONFLICT DO NOTHING
