-- name: valid
SELECT id, client, scopes, hash, networks, requests_per_second FROM api_keys
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())

-- name: note_use
-- Several processes note the same key: the first of a minute writes.
UPDATE api_keys SET last_used_at = now()
WHERE id = ANY ($1::uuid[]) AND (last_used_at IS NULL OR last_used_at < now() - interval '50 s')

-- name: listed
SELECT {shown} FROM api_keys
WHERE ($1::text IS NULL OR client = $1) AND ($2 OR revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()))
ORDER BY created_at, id

-- name: refund_limits
SELECT family, refunds_per_day, refund_amounts_per_day, refund_amounts_max FROM api_keys
WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())

-- name: count_refund
-- The row is locked until the transaction ends, so no two refunds count from the same number. A refund that is refused is not counted.
INSERT INTO api_key_refunds AS c (family, day, refunds, amounts)
VALUES ($1, (now() AT TIME ZONE 'UTC')::date, 1, jsonb_build_object($2::text, $3::bigint))
ON CONFLICT (family, day) DO UPDATE
SET refunds = c.refunds + 1, amounts = c.amounts || jsonb_build_object($2::text, coalesce((c.amounts ->> $2::text)::bigint, 0) + $3::bigint)
RETURNING c.refunds, (c.amounts ->> $2::text)::bigint AS amount, (c.day + 1)::timestamp AT TIME ZONE 'UTC' AS until,
          ceil(extract(epoch FROM (c.day + 1)::timestamp AT TIME ZONE 'UTC' - now()))::integer AS left_s

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
