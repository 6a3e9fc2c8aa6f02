-- name: current_role
-- The role of this session, and the attributes that outweigh privileges of single tables.
SELECT r.rolname::text AS name, r.rolsuper AS superuser, pg_has_role(r.oid, c.relowner, 'USAGE') AS owner,
       has_schema_privilege(r.oid, c.relnamespace, 'CREATE') AS may_create
FROM pg_roles r
JOIN pg_class c ON c.oid = to_regclass('payments')
WHERE r.rolname = current_user

-- name: compare
-- Missing and excess privileges of role $1. $2 and $3 are the needed pairs of relation and privilege; relations that this schema
-- does not have are left out. A privilege of a table covers its partitions, but only through the table.
WITH known AS (
    SELECT c.oid, c.relname::text AS relation, c.relkind, i.inhparent AS parent
    FROM pg_class c
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND c.relispartition
    WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('payments'))
      AND (c.relname = ANY ($2::text[]) OR i.inhparent IS NOT NULL AND c.relkind = 'r')
), needed AS (
    SELECT k.oid, n.privilege
    FROM unnest($2::text[], $3::text[]) AS n (relation, privilege)
    JOIN known k USING (relation)
), possible AS (
    SELECT k.oid, k.parent, k.relation, k.relkind = 'S' AS sequence, p.privilege,
           CASE k.relkind WHEN 'S' THEN has_sequence_privilege($1, k.oid, p.privilege)
                          ELSE has_table_privilege($1, k.oid, p.privilege) END AS held
    FROM known k
    CROSS JOIN LATERAL unnest(CASE k.relkind WHEN 'S' THEN ARRAY['USAGE', 'SELECT', 'UPDATE']
                                             ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'] END) AS p (privilege)
)
SELECT p.privilege || ' on ' || p.relation AS what, NOT p.held AS missing,
       format('GRANT %s ON %s %I TO %I', p.privilege, CASE WHEN p.sequence THEN 'SEQUENCE' ELSE 'TABLE' END, p.relation, $1::text) AS statement
FROM possible p
LEFT JOIN needed n ON n.oid = p.oid AND n.privilege = p.privilege
LEFT JOIN needed m ON m.oid = p.parent AND m.privilege = p.privilege
WHERE (n.oid IS NOT NULL AND NOT p.held) OR (n.oid IS NULL AND m.oid IS NULL AND p.held)
ORDER BY p.relation, p.privilege

-- name: exists
SELECT FROM pg_roles WHERE rolname = $1
