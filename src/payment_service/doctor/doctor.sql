-- name: disabled_provider_calls
SELECT provider, count(*) AS calls FROM operations WHERE state = 'due' AND provider <> ALL ($1::text[]) GROUP BY provider ORDER BY provider

-- name: checkout_clients
SELECT DISTINCT client FROM api_keys WHERE 'checkout' = ANY (scopes) AND revoked_at IS NULL ORDER BY client

-- name: refunds_without_balance
SELECT count(*) FROM operations WHERE state = 'due' AND kind = 'refund' AND outcome = 'balance_too_low'

-- name: expiring_keys
-- Without those that a newer key of their family replaces.
SELECT client, expires_at FROM api_keys k
WHERE revoked_at IS NULL AND expires_at > now() AND expires_at < now() + $1::interval
  AND NOT EXISTS (SELECT FROM api_keys n WHERE n.family = k.family AND n.created_at > k.created_at AND n.revoked_at IS NULL)
ORDER BY expires_at, id

-- name: unsealed_entries
SELECT count(*) FROM audit_unsealed u JOIN audit a ON a.id = u.audit_id WHERE a.at < now() - interval '1 min'
