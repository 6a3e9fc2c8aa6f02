-- name: schema_state
SELECT (SELECT max(version_num) FROM alembic_version) AS revision,
       (SELECT revision FROM schema_minimum) AS minimum

-- name: provider_schemas
SELECT provider, revision FROM provider_schemas
