-- Every update raises the version, and every search begins at the newest one. Otherwise a statement steps over all versions that
-- an old snapshot retains: 360,000 after an hour of 100 calls per second. `>=`, because the row may change before it is locked.

-- name: take
-- Takes up to $4 whole tokens, in one autocommitted statement. $1 provider, $2 tokens a second, $3 burst.
WITH level AS (
    SELECT least($3::float8, tokens + $2::float8 * extract(epoch FROM clock_timestamp() - refilled_at)) AS tokens
    FROM provider_budget
    WHERE provider = $1 AND version >= (SELECT max(version) FROM provider_budget WHERE provider = $1)
    FOR UPDATE
), debit AS (
    SELECT tokens, least(floor(tokens), $4::integer)::integer AS granted FROM level WHERE tokens >= 1
)
UPDATE provider_budget b
SET tokens = d.tokens - d.granted, refilled_at = clock_timestamp(), version = b.version + 1
FROM debit d
WHERE b.provider = $1 AND b.version >= (SELECT max(version) FROM provider_budget WHERE provider = $1)
RETURNING d.granted

-- name: give_back
UPDATE provider_budget SET tokens = tokens + $2, version = version + 1
WHERE provider = $1 AND version >= (SELECT max(version) FROM provider_budget WHERE provider = $1)

-- name: spend
-- A read that belongs to a claimed operation. The bucket may fall below zero; then claims wait.
UPDATE provider_budget SET tokens = tokens - 1, version = version + 1
WHERE provider = $1 AND version >= (SELECT max(version) FROM provider_budget WHERE provider = $1)

-- name: spend_on_checkout
-- Takes one call for a waiting customer, in one autocommitted statement. It may leave the shared bucket one below zero, because a
-- queue of operations takes every whole token at once. A second bucket limits checkouts to their share.
-- $1 provider, $2 tokens a second, $3 burst, $4 and $5 the same for the checkout share.
UPDATE provider_budget
SET tokens = least($3::float8, tokens + $2::float8 * extract(epoch FROM clock_timestamp() - refilled_at)) - 1,
    checkout_tokens = least($5::float8, checkout_tokens + $4::float8 * extract(epoch FROM clock_timestamp() - checkout_refilled_at)) - 1,
    refilled_at = clock_timestamp(), checkout_refilled_at = clock_timestamp(), version = version + 1
WHERE provider = $1 AND version >= (SELECT max(version) FROM provider_budget WHERE provider = $1)
  AND tokens + $2::float8 * extract(epoch FROM clock_timestamp() - refilled_at) >= 0
  AND checkout_tokens + $4::float8 * extract(epoch FROM clock_timestamp() - checkout_refilled_at) >= 1
RETURNING provider

-- name: spend_in_background
-- Takes one call for a background read: only a whole token, and only while no call waits. $4 takes it in any case, so that a
-- permanent backlog delays background reads and does not stop them. $1 provider, $2 tokens a second, $3 burst, $5 kinds of calls.
UPDATE provider_budget
SET tokens = least($3::float8, tokens + $2::float8 * extract(epoch FROM clock_timestamp() - refilled_at)) - 1,
    refilled_at = clock_timestamp(), version = version + 1
WHERE provider = $1 AND version >= (SELECT max(version) FROM provider_budget WHERE provider = $1)
  AND ($4::boolean
       OR tokens + $2::float8 * extract(epoch FROM clock_timestamp() - refilled_at) >= 1
          AND NOT EXISTS (SELECT FROM unnest($5::text[]) AS k (kind)
                          CROSS JOIN LATERAL (SELECT FROM operations o
                                              WHERE o.state = 'due' AND o.provider = $1 AND o.kind = k.kind AND o.due_at <= now()
                                              LIMIT 1) AS waiting))
RETURNING provider
