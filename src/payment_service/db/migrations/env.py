"""Alembic's entry point. The connection, in a transaction, comes from `payment_service.db.migrate`; `--sql` has none."""

from __future__ import annotations

from alembic import context

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True)
else:
    context.configure(connection=context.config.attributes["connection"])

with context.begin_transaction():
    context.run_migrations()
