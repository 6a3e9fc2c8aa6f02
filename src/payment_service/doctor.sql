-- name: disabled_provider_calls
SELECT provider, count(*) AS calls FROM operations WHERE state = 'due' AND provider <> ALL ($1::text[]) GROUP BY provider ORDER BY provider

-- name: checkout_clients
SELECT DISTINCT client FROM api_keys WHERE 'checkout' = ANY (scopes) AND revoked_at IS NULL ORDER BY client

-- name: refunds_without_balance
SELECT count(*) FROM operations WHERE state = 'due' AND kind = 'refund' AND outcome = 'balance_too_low'
