"""The entry point of Alembic. `db.migrate` passes the connection; `--sql` runs without one."""

from __future__ import annotations

from alembic import context

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True)
else:
    context.configure(connection=context.config.attributes["connection"])

with context.begin_transaction():
    for prepare in context.config.attributes["preparations"]:
        prepare()
    context.run_migrations()
