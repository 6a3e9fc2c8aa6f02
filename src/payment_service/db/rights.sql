-- name: current_role
-- The role of this session, and the attributes that outweigh privileges of single tables.
SELECT r.rolname::text AS name, r.rolsuper AS superuser, pg_has_role(r.oid, c.relowner, 'USAGE') AS owner,
       has_schema_privilege(r.oid, c.relnamespace, 'CREATE') AS may_create
FROM pg_roles r
JOIN pg_class c ON c.oid = to_regclass('payments')
WHERE r.rolname = current_user

-- name: compare
-- Missing and excess privileges of role $1. $2, $3 and $4 are the needed relations, privileges and columns (empty: the whole table).
-- $5 are the relations to compare; those that this schema does not have are left out. A privilege of a table covers its partitions,
-- but only through the table. Columns count where the role does not have the privilege on the whole table.
WITH known AS (
    SELECT c.oid, c.relname::text AS relation, c.relkind, i.inhparent AS parent
    FROM pg_class c
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND c.relispartition
    WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('payments'))
      AND (c.relname = ANY ($5::text[]) OR i.inhparent IS NOT NULL AND c.relkind = 'r')
), needed AS (
    SELECT k.oid, n.privilege, n.attribute
    FROM unnest($2::text[], $3::text[], $4::text[]) AS n (relation, privilege, attribute)
    JOIN known k USING (relation)
), possible AS (
    SELECT k.oid, k.parent, k.relation, k.relkind = 'S' AS sequence, p.privilege, '' AS attribute,
           CASE k.relkind WHEN 'S' THEN has_sequence_privilege($1, k.oid, p.privilege)
                          ELSE has_table_privilege($1, k.oid, p.privilege) END AS held
    FROM known k
    CROSS JOIN LATERAL unnest(CASE k.relkind WHEN 'S' THEN ARRAY['USAGE', 'SELECT', 'UPDATE']
                                             ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'] END) AS p (privilege)
    UNION ALL
    SELECT k.oid, k.parent, k.relation, false, p.privilege, a.attname::text, has_column_privilege($1, k.oid, a.attnum, p.privilege)
    FROM known k
    JOIN pg_attribute a ON a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p (privilege)
    WHERE k.relkind <> 'S' AND NOT has_table_privilege($1, k.oid, p.privilege)
), different AS (
    SELECT p.relation, p.privilege, p.attribute, p.sequence, NOT p.held AS missing
    FROM possible p
    LEFT JOIN needed n ON n.oid = p.oid AND n.privilege = p.privilege AND n.attribute IN (p.attribute, '')
    LEFT JOIN needed m ON m.oid = p.parent AND m.privilege = p.privilege AND m.attribute IN (p.attribute, '')
    WHERE (n.attribute = p.attribute AND NOT p.held) OR (n.oid IS NULL AND m.oid IS NULL AND p.held)
), named AS (
    SELECT relation, sequence, missing,
           privilege || coalesce(' (' || nullif(string_agg(quote_ident(nullif(attribute, '')), ', ' ORDER BY attribute), '') || ')', '') AS what
    FROM different
    GROUP BY relation, sequence, missing, privilege, attribute = ''
)
SELECT what || ' on ' || relation AS what, missing,
       format('GRANT %s ON %s %I TO %I', what, CASE WHEN sequence THEN 'SEQUENCE' ELSE 'TABLE' END, relation, $1::text) AS statement
FROM named
ORDER BY relation, what

-- name: exists
SELECT FROM pg_roles WHERE rolname = $1
