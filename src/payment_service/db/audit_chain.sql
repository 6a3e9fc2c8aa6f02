-- name: has_unsealed
SELECT EXISTS (SELECT FROM audit_unsealed)

-- name: lock
-- One process seals at a time. The others look again later instead of waiting.
SELECT pg_try_advisory_xact_lock($1)

-- name: head
SELECT position, hash FROM audit_chain ORDER BY position DESC LIMIT 1

-- name: take
-- An entry that was deleted before it was sealed leaves its id.
WITH taken AS (
    DELETE FROM audit_unsealed WHERE audit_id IN (SELECT audit_id FROM audit_unsealed ORDER BY audit_id LIMIT $1)
    RETURNING audit_id
)
SELECT t.audit_id AS link_audit_id, a.* FROM taken t LEFT JOIN audit a ON a.id = t.audit_id ORDER BY t.audit_id

-- name: insert
INSERT INTO audit_chain (position, audit_id, hash) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])

-- name: links
-- A page of links after position $1, each with its entry.
SELECT c.position AS link_position, c.audit_id AS link_audit_id, c.hash AS link_hash, a.*
FROM audit_chain c
LEFT JOIN audit a ON a.id = c.audit_id
WHERE c.position > $1
ORDER BY c.position
LIMIT $2

-- name: not_sealed
-- A page of entries after id $1 without a link. `waits`: the next seal covers it.
SELECT EXISTS (SELECT FROM audit_unsealed u WHERE u.audit_id = a.id) AS link_waits, a.*
FROM audit a
WHERE a.id > $1 AND NOT EXISTS (SELECT FROM audit_chain c WHERE c.audit_id = a.id)
ORDER BY a.id
LIMIT $2
