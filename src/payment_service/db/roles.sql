-- Three roles for payment-service: {owner} changes the schema (`migrate`, `maintain`), {service} runs on it (`serve`, `doctor`
-- and the other commands), {reader} looks at it. Run this with psql on the service's database, as an administrator; repeating it
-- changes nothing. Then give each a way to log in (`\password {owner}`, a certificate, what your platform has).
--
-- Tables that another role owns already: REASSIGN OWNED BY that_role TO {owner}.

DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['{owner}', '{service}', '{reader}'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        END IF;
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO {owner}, {service}, {reader}', current_database());
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC, {service}, {reader};
GRANT USAGE, CREATE ON SCHEMA public TO {owner};
GRANT USAGE ON SCHEMA public TO {service}, {reader};

-- What each may do with each table. Before the first `payment-service migrate` there is none yet; afterwards, and for tables that a
-- later version adds, `migrate` itself grants what is missing. Partitions are reached by way of their tables.
DO $$
BEGIN
    IF to_regclass('public.payments') IS NULL THEN
        RETURN;
    END IF;
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {service}, {reader};
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {service}, {reader};
{grants}
END $$;
