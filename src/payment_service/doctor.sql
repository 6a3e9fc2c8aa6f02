-- name: disabled_provider_calls
SELECT provider, count(*) AS calls FROM operations WHERE state = 'due' AND provider <> ALL ($1::text[]) GROUP BY provider ORDER BY provider

-- name: checkout_clients
SELECT DISTINCT client FROM api_keys WHERE 'checkout' = ANY (scopes) AND revoked_at IS NULL ORDER BY client

-- name: not_adopted
-- Those that bar their orders: one beside the order's own payment is canceled by itself.
SELECT count(*) FROM model_adoption_report WHERE reason NOT IN ('open_beside_another_payment', 'order_id_missing')

-- name: parked
SELECT count(*) AS calls_and_events, (SELECT count(*) FROM bank_transfers WHERE outcome = 'transfer.nobodys') AS transfers
FROM (SELECT FROM operations WHERE state = 'parked'
      UNION ALL
      SELECT FROM payment_events WHERE parked_reason IS NOT NULL AND NOT processed) p
