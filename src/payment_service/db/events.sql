-- name: insert
-- In the order of event ids, so that two groups with the same events cannot deadlock.
INSERT INTO payment_events (payment_id, event_type, provider, provider_event_id, payload, processed, processed_at, result,
                            verified_by, verified_at, occurred_at)
SELECT payment_id, event_type, provider, provider_event_id, payload, true, now(), result, verified_by, now(), occurred_at
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::text[], $8::timestamptz[])
     AS v (payment_id, event_type, provider, provider_event_id, payload, result, verified_by, occurred_at)
ORDER BY provider, provider_event_id
ON CONFLICT (provider, provider_event_id, occurred_at) DO NOTHING
RETURNING provider, provider_event_id

-- name: known
-- One index lookup per event, in the partition of its time.
SELECT e.provider, e.provider_event_id, e.processed
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS v (provider, provider_event_id, occurred_at)
JOIN payment_events e ON e.provider = v.provider AND e.provider_event_id = v.provider_event_id AND e.occurred_at = v.occurred_at

-- name: record_results
UPDATE payment_events e
SET processed = v.processed, processed_at = CASE WHEN v.processed THEN now() END, result = v.result,
    retry_at = now() + v.retry_s * interval '1 s', tries = e.tries + v.tried, parked_reason = v.parked_reason,
    payment_id = coalesce(v.payment_id, e.payment_id)
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::boolean[], $5::text[], $6::float8[], $7::integer[], $8::text[], $9::uuid[])
     AS v (provider, provider_event_id, occurred_at, processed, result, retry_s, tried, parked_reason, payment_id)
WHERE e.provider = v.provider AND e.provider_event_id = v.provider_event_id AND e.occurred_at = v.occurred_at
  AND (NOT e.processed OR e.processed_at = now())  -- only an earlier transaction makes it final

-- name: lock_pending
-- Events are locked first, their payments afterwards (see ARCHITECTURE.md, "Order of locks").
SELECT provider, provider_event_id, occurred_at, payload, tries, created_at
FROM payment_events
WHERE NOT processed AND retry_at <= now() AND provider = ANY ($1::text[])
ORDER BY retry_at
LIMIT $2
FOR UPDATE SKIP LOCKED

-- name: keys_since
-- The next keys by the time of the event, for a replay. $1 to $3 is the last key of the previous page.
SELECT provider, provider_event_id, occurred_at
FROM payment_events
WHERE occurred_at >= $1 AND (occurred_at, provider, provider_event_id) > ($1, $2, $3)
ORDER BY occurred_at, provider, provider_event_id
LIMIT $4

-- name: keys_of
SELECT provider, provider_event_id, occurred_at
FROM payment_events
WHERE provider = ANY ($1::text[]) AND provider_event_id = ANY ($2::text[])
ORDER BY occurred_at, provider, provider_event_id

-- name: lock_stored
-- Processed events too. In the order of event ids, as every group of events.
SELECT e.provider, e.provider_event_id, e.event_type, e.occurred_at, e.payload, e.tries, e.created_at, e.processed, e.result
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS v (provider, provider_event_id, occurred_at)
JOIN payment_events e USING (provider, provider_event_id, occurred_at)
ORDER BY e.provider, e.provider_event_id
FOR UPDATE OF e

-- name: record_replayed
-- Also of events that were processed before: a replay applies what was ignored or parked then.
UPDATE payment_events e
SET processed = true, processed_at = now(), result = v.result, retry_at = NULL, parked_reason = NULL,
    payment_id = coalesce(e.payment_id, v.payment_id)
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::uuid[]) AS v (provider, provider_event_id, occurred_at, result, payment_id)
WHERE e.provider = v.provider AND e.provider_event_id = v.provider_event_id AND e.occurred_at = v.occurred_at
