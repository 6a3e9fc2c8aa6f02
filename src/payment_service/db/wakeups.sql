-- name: send
-- A statement of its own. NOTIFY holds a lock of the whole database until its commit, so it has no place in a payment's transaction.
SELECT pg_notify($1, name) FROM unnest($2::text[]) AS name
