-- Sums for the first page of the operators. They lock nothing, and nothing is decided by them.

-- name: recent
-- Payments created since $1, by hour, status and currency. `today`: since midnight UTC.
SELECT date_trunc('hour', created_at) AS hour, created_at >= date_trunc('day', now()) AS today, currency,
       derived_status(status, captured, refunded) AS status, count(*) AS payments,
       in_major_units(sum(amount)::bigint, currency)::text AS amount, in_major_units(sum(captured)::bigint, currency)::text AS captured,
       in_major_units(sum(refunded)::bigint, currency)::text AS refunded
FROM payments
WHERE created_at >= $1
GROUP BY 1, 2, 3, 4
ORDER BY 1, 3, 4

-- name: decline_codes
SELECT coalesce(decline_code, 'unknown') AS code, count(*) AS attempts
FROM payment_attempts
WHERE status = 'declined' AND occurred_at >= $1
GROUP BY 1
ORDER BY 2 DESC, 1
LIMIT $2

-- name: workers
SELECT id, host, pid, started_at, heartbeat_at, heartbeat_at > now() - interval '5 s' AS alive
FROM workers
ORDER BY started_at
