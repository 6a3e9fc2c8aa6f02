-- name: spend
-- A read that belongs to a claimed operation. The bucket may fall below zero; then claims wait.
UPDATE provider_budget SET tokens = tokens - 1 WHERE provider = $1

-- name: spend_on_checkout
-- Takes one call for a waiting customer, in one autocommitted statement. It may leave the shared bucket one below zero, because a
-- queue of operations takes every whole token at once. A second bucket limits checkouts to their share.
-- $1 provider, $2 tokens a second, $3 burst, $4 and $5 the same for the checkout share.
UPDATE provider_budget
SET tokens = least($3::float8, tokens + $2::float8 * extract(epoch FROM clock_timestamp() - refilled_at)) - 1,
    checkout_tokens = least($5::float8, checkout_tokens + $4::float8 * extract(epoch FROM clock_timestamp() - checkout_refilled_at)) - 1,
    refilled_at = clock_timestamp(), checkout_refilled_at = clock_timestamp()
WHERE provider = $1
  AND tokens + $2::float8 * extract(epoch FROM clock_timestamp() - refilled_at) >= 0
  AND checkout_tokens + $4::float8 * extract(epoch FROM clock_timestamp() - checkout_refilled_at) >= 1
RETURNING provider
