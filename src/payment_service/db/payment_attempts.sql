-- columns: shown
-- The fields of an attempt in the API (contracts/api.py), without its method.
provider_charge_id
status
decline_code
decline_reason
receipt_url
occurred_at

-- columns: method
payment_method_id
payment_method_type
card_brand
card_last4
card_funding
card_country
card_wallet

-- name: save
-- Each field is reported once and never changes, so the first report of it stays. A row that gains nothing is not written again.
INSERT INTO payment_attempts AS a (payment_id, name, provider, provider_charge_id, status, amount, currency, decline_code, decline_reason,
                                   receipt_url, occurred_at, {method})
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[],
                     $11::timestamptz[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[])
ON CONFLICT (payment_id, name) DO UPDATE
SET status = CASE a.status WHEN 'pending' THEN EXCLUDED.status ELSE a.status END,
    decline_code = coalesce(a.decline_code, EXCLUDED.decline_code), decline_reason = coalesce(a.decline_reason, EXCLUDED.decline_reason),
    receipt_url = coalesce(a.receipt_url, EXCLUDED.receipt_url), occurred_at = least(a.occurred_at, EXCLUDED.occurred_at),
    payment_method_id = coalesce(a.payment_method_id, EXCLUDED.payment_method_id),
    payment_method_type = coalesce(a.payment_method_type, EXCLUDED.payment_method_type),
    card_brand = coalesce(a.card_brand, EXCLUDED.card_brand), card_last4 = coalesce(a.card_last4, EXCLUDED.card_last4),
    card_funding = coalesce(a.card_funding, EXCLUDED.card_funding), card_country = coalesce(a.card_country, EXCLUDED.card_country),
    card_wallet = coalesce(a.card_wallet, EXCLUDED.card_wallet)
WHERE (a.status = 'pending' AND EXCLUDED.status <> 'pending') OR EXCLUDED.occurred_at < a.occurred_at
   OR num_nulls(a.decline_code, a.receipt_url, a.payment_method_id, a.payment_method_type, a.card_brand, a.card_last4, a.card_funding,
                a.card_country, a.card_wallet)
    > num_nulls(coalesce(a.decline_code, EXCLUDED.decline_code), coalesce(a.receipt_url, EXCLUDED.receipt_url),
                coalesce(a.payment_method_id, EXCLUDED.payment_method_id), coalesce(a.payment_method_type, EXCLUDED.payment_method_type),
                coalesce(a.card_brand, EXCLUDED.card_brand), coalesce(a.card_last4, EXCLUDED.card_last4),
                coalesce(a.card_funding, EXCLUDED.card_funding), coalesce(a.card_country, EXCLUDED.card_country),
                coalesce(a.card_wallet, EXCLUDED.card_wallet))

-- name: of_payment
SELECT {shown}, in_major_units(amount, currency)::text AS amount, currency, {method}
FROM payment_attempts
WHERE payment_id = $1
ORDER BY occurred_at DESC, status = 'succeeded' DESC, name DESC  -- Stripe gives seconds
LIMIT $2

-- name: deciding
-- The attempt of each payment that paid it, else its latest one.
SELECT p.id, a.*
FROM unnest($1::uuid[]) AS p (id)
CROSS JOIN LATERAL (
    SELECT receipt_url, {method}
    FROM payment_attempts
    WHERE payment_id = p.id
    ORDER BY status = 'succeeded' DESC, occurred_at DESC, name DESC
    LIMIT 1
) a
