-- Roles for payment-service: {owner} changes the schema (`migrate`, `maintain`), {service} runs `serve`, `doctor` and the other
-- commands, {operator} also changes API keys (`keys`), {reader} only reads. Run this with psql on the database of the service, as an
-- administrator. Running it again changes nothing. It concerns the first schema of `search_path`, `public` by default. Then give
-- each role a way to log in (`\password {owner}`, a certificate, or that of your platform).
--
-- If another role owns the tables: REASSIGN OWNED BY that_role TO {owner}.

DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['{owner}', '{service}', '{operator}', '{reader}'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        END IF;
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO {owner}, {service}, {operator}, {reader}', current_database());
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, {service}, {operator}, {reader}', current_schema());
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO {owner}', current_schema());
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO {service}, {operator}, {reader}', current_schema());
END $$;

-- Privileges for each table. Before the first `payment-service migrate` there are no tables. Afterwards, and for tables of a later
-- version, `migrate` itself grants what is missing. Partitions are accessed through their tables.
DO $$
BEGIN
    IF to_regclass('payments') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM {service}, {operator}, {reader}', current_schema());
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM {service}, {operator}, {reader}', current_schema());
{grants}
END $$;
