"""The database: everything that reads or writes PostgreSQL, and the schema itself.

Each table has a module and a `.sql` file of named queries (`queries.py`). The statements are the concurrency
design. Functions take a connection or the pool and return values of the domain; they open no transaction. The flows do.

- `pool.py`: the connection pool, and the limits of every session. `keyset.py`: cursors of lists.
- `migrate.py`, `migrations/`, `schema_check.py`, `rights.py`: the schema, its revisions, the privileges of each role. docs/schema.sql
  shows the schema with every comment.
- `maintain.py`: partitions and retention. `lock_retries.py`: table locks that do not block the running service.

Imports `domain`, `contracts`, `telemetry`, the port of providers (`provider/port.py`) and their plugins, but no flow and no
provider. Start with
`payments.py`, then `operations.py`: `claim` in `operations.sql` is the core of the service.
"""
