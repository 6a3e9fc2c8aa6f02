-- name: blocked
SELECT kind FROM provider_health WHERE provider = $1 AND blocked_since IS NOT NULL

-- name: all_blocked
SELECT provider, kind FROM provider_health WHERE blocked_since IS NOT NULL ORDER BY provider, kind

-- name: block
INSERT INTO provider_health (provider, kind, blocked_since, reason, probe_at)
VALUES ($1, $2, now(), $3, now() + $4 * interval '1 s')
ON CONFLICT (provider, kind) DO UPDATE
SET blocked_since = coalesce(provider_health.blocked_since, now()), reason = excluded.reason, probe_at = excluded.probe_at

-- name: take_probe
-- Only one replica gets the probe.
UPDATE provider_health SET probe_at = now() + $2 * interval '1 s'
WHERE provider = $1 AND blocked_since IS NOT NULL AND probe_at <= now()
RETURNING kind

-- name: extend_run
-- Adds the payments of unexpected refusals. $4 payments without a success block the kind; more are not counted.
INSERT INTO provider_health (provider, kind, refused_payments) VALUES ($1, $2, $3::uuid[])
ON CONFLICT (provider, kind) DO UPDATE
SET refused_payments = CASE WHEN cardinality(provider_health.refused_payments) >= $4 THEN provider_health.refused_payments
               ELSE ARRAY(SELECT DISTINCT unnest(provider_health.refused_payments || $3::uuid[])) END
RETURNING cardinality(refused_payments) >= $4 AS is_long

-- name: recover
-- A success clears its kind and the provider as a whole.
DELETE FROM provider_health WHERE provider = $1 AND kind = ANY ($2::text[]) RETURNING kind, blocked_since
