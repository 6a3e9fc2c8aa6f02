-- name: record
-- In the order of the key, so that two sessions cannot deadlock. A difference that comes back is new.
INSERT INTO differences AS d (code, subject, sides, provider, payment_id, detail, occurred_at, resolved_at, repaired)
SELECT v.code, v.subject, v.sides, v.provider, v.payment_id, v.detail,
       coalesce(v.occurred_at, (SELECT p.created_at FROM payments p WHERE p.id = v.payment_id), now()),
       CASE WHEN v.repaired THEN now() END, v.repaired
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::timestamptz[], $8::boolean[])
     AS v (code, subject, sides, provider, payment_id, detail, occurred_at, repaired)
ORDER BY v.code, v.subject
ON CONFLICT (code, subject) DO UPDATE
SET payment_id = EXCLUDED.payment_id, detail = EXCLUDED.detail, occurred_at = EXCLUDED.occurred_at, last_seen_at = now(),
    first_seen_at = CASE WHEN d.resolved_at IS NULL THEN d.first_seen_at ELSE now() END,
    resolved_at = EXCLUDED.resolved_at, repaired = EXCLUDED.repaired

-- name: resolve
UPDATE differences d SET resolved_at = now()
FROM unnest($1::text[], $2::text[]) AS v (code, subject)
WHERE d.code = v.code AND d.subject = v.subject AND d.resolved_at IS NULL

-- name: resolve_unseen
-- A run compared everything since $3 (NULL: everything) of these sides and did not find them again. $4: only these codes.
UPDATE differences SET resolved_at = now()
WHERE resolved_at IS NULL AND sides = $1 AND last_seen_at < $2 AND ($3::timestamptz IS NULL OR occurred_at >= $3)
  AND ($4::text[] IS NULL OR code = ANY ($4))

-- name: resolve_processed_events
-- An event that was missing needs no attention once it is processed. Until then it is parked or waits for its payment.
UPDATE differences d SET resolved_at = now(), repaired = true
FROM payment_events e
WHERE d.resolved_at IS NULL AND d.sides = 'events' AND d.provider = $1 AND e.provider = d.provider
  AND e.provider_event_id = d.subject AND e.occurred_at = d.occurred_at AND e.processed

-- name: find_open
SELECT payment_id FROM differences WHERE code = $1 AND subject = $2 AND resolved_at IS NULL

-- name: close
-- The next reconciliation opens it again if the two sides still differ.
UPDATE differences SET resolved_at = now() WHERE code = $1 AND subject = $2 AND resolved_at IS NULL RETURNING code

-- name: open_subjects
SELECT DISTINCT subject FROM differences WHERE resolved_at IS NULL AND sides = 'provider' AND subject = ANY ($1::text[])

-- name: open_before
-- Open differences of sides $1 and provider $2 that no run has looked at since $3, after the key ($4, $5), at most $6.
SELECT code, subject, payment_id FROM differences
WHERE resolved_at IS NULL AND sides = $1 AND provider = $2 AND last_seen_at < $3 AND (code, subject) > ($4, $5)
ORDER BY code, subject
LIMIT $6

-- name: open
-- Everything that needs attention, the oldest first, after ($1, $2, $3), at most $4.
SELECT code, subject, sides, provider, payment_id, detail, first_seen_at, last_seen_at
FROM differences
WHERE resolved_at IS NULL AND (first_seen_at, code, subject) > ($1, $2, $3)
ORDER BY first_seen_at, code, subject
LIMIT $4

-- name: count_open
SELECT count(*) FROM differences WHERE resolved_at IS NULL
