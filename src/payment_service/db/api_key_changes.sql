-- The operator's role runs these; the service's role may not.

-- name: count_valid
SELECT count(*) FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())

-- name: create
INSERT INTO api_keys (client, prefix, hash, scopes, networks, requests_per_second, refunds_per_day, refund_amounts_per_day,
                      refund_amounts_max, expires_at)
VALUES ($1, $2, $3, $4::text[], $5::cidr[], $6, $7, $8::jsonb, $9::jsonb, now() + $10::interval)

-- name: rotate
-- The new key has the old one's limits and lifetime. The old one ends after $4, or when it ends anyway. A key that has a successor
-- has lost its own lifetime, so its successor is rotated instead.
WITH old AS (
    SELECT * FROM api_keys k WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    AND NOT EXISTS (SELECT FROM api_keys n WHERE n.family = k.family AND n.created_at > k.created_at)
    FOR UPDATE
), ended AS (
    UPDATE api_keys SET expires_at = least(api_keys.expires_at, now() + $4::interval) FROM old WHERE api_keys.id = old.id
    RETURNING api_keys.expires_at
)
INSERT INTO api_keys (family, client, prefix, hash, scopes, networks, requests_per_second, refunds_per_day, refund_amounts_per_day,
                      refund_amounts_max, expires_at)
SELECT family, client, $2, $3, scopes, networks, requests_per_second, refunds_per_day, refund_amounts_per_day,
       refund_amounts_max, now() + (old.expires_at - old.created_at)
FROM old
RETURNING client, (SELECT expires_at FROM ended) AS old_until

-- name: revoke
-- Also returns keys that were already revoked, with their first time.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 OR ($1 IS NULL AND client = $2)
RETURNING {shown}

-- columns: shown
id
client
prefix
scopes
networks
requests_per_second
refunds_per_day
refund_amounts_per_day
refund_amounts_max
created_at
expires_at
last_used_at
revoked_at
