-- name: append
INSERT INTO audit (client, key_id, address, action, payment_id, detail) VALUES ($1, $2, $3, $4, $5, $6::jsonb)
