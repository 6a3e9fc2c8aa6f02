-- name: spend_on_checkout
-- One call that a customer waits for, in one autocommitted statement. It may take the shared bucket one below zero, since a queue
-- of operations takes every whole token as it comes; a bucket of its own keeps customers to their share, so that operations go on.
-- $1 provider, $2 tokens a second, $3 burst, $4 and $5 those of the share.
UPDATE provider_budget
SET tokens = least($3::float8, tokens + $2::float8 * extract(epoch FROM clock_timestamp() - refilled_at)) - 1,
    checkout_tokens = least($5::float8, checkout_tokens + $4::float8 * extract(epoch FROM clock_timestamp() - checkout_refilled_at)) - 1,
    refilled_at = clock_timestamp(), checkout_refilled_at = clock_timestamp()
WHERE provider = $1
  AND tokens + $2::float8 * extract(epoch FROM clock_timestamp() - refilled_at) >= 0
  AND checkout_tokens + $4::float8 * extract(epoch FROM clock_timestamp() - checkout_refilled_at) >= 1
RETURNING provider
