-- name: role
SELECT current_user::text AS name, r.rolsuper AS superuser,
       ARRAY(
           SELECT privilege || ' on ' || t
           FROM unnest(ARRAY['payments', 'operations', 'payment_events', 'payment_history', 'outbox', 'outbox_pending',
                             'outbox_placements', 'quarantine', 'workers', 'refunds', 'disputes', 'kept_answers', 'audit']) t
           CROSS JOIN unnest(ARRAY['SELECT', 'INSERT']) privilege
           WHERE NOT has_table_privilege(t, privilege)
           UNION ALL
           SELECT 'UPDATE on ' || t FROM unnest(ARRAY['payments', 'operations', 'payment_events', 'refunds', 'disputes', 'workers', 'relay_lease']) t
           WHERE NOT has_table_privilege(t, 'UPDATE')
           UNION ALL
           SELECT 'SELECT on cursor_key' WHERE NOT has_table_privilege('cursor_key', 'SELECT')
           UNION ALL
           SELECT 'DELETE on ' || t FROM unnest(ARRAY['outbox_pending', 'workers']) t WHERE NOT has_table_privilege(t, 'DELETE')
           UNION ALL
           SELECT 'USAGE on ' || s FROM unnest(ARRAY['operations_position', 'outbox_position']) s WHERE NOT has_sequence_privilege(s, 'USAGE')
       ) AS missing
FROM pg_roles r
WHERE r.rolname = current_user

-- name: left_behind
SELECT provider, count(*) AS calls FROM operations WHERE state = 'due' AND provider <> ALL ($1::text[]) GROUP BY provider ORDER BY provider
