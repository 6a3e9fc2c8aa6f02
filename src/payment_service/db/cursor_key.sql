-- name: read
SELECT key FROM cursor_key
