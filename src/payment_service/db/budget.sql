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

-- name: spend_in_background
-- Takes one call for a background read: only a whole token, and only while no call waits. $4 takes it in any case, so that a
-- permanent backlog delays background reads and does not stop them. $1 provider, $2 tokens a second, $3 burst, $5 kinds of calls.
UPDATE provider_budget
SET tokens = least($3::float8, tokens + $2::float8 * extract(epoch FROM clock_timestamp() - refilled_at)) - 1,
    refilled_at = clock_timestamp()
WHERE provider = $1
  AND ($4::boolean
       OR tokens + $2::float8 * extract(epoch FROM clock_timestamp() - refilled_at) >= 1
          AND NOT EXISTS (SELECT FROM unnest($5::text[]) AS k (kind)
                          CROSS JOIN LATERAL (SELECT FROM operations o
                                              WHERE o.state = 'due' AND o.provider = $1 AND o.kind = k.kind AND o.due_at <= now()
                                              LIMIT 1) AS waiting))
RETURNING provider
