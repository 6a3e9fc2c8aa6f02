-- name: append
-- The mark makes the next seal cover the entry.
WITH written AS (
    INSERT INTO audit (client, key_id, address, action, payment_id, detail) VALUES ($1, $2, $3, $4, $5, $6::jsonb)
    RETURNING id
)
INSERT INTO audit_unsealed (audit_id) SELECT id FROM written
