"""The check whether this version of the service can run on the schema of the database."""

from __future__ import annotations

from typing import Final

import asyncpg

from payment_service.db.pool import Connection, Pool
from payment_service.db.queries import load
from payment_service.provider.plugins import installed

# The oldest schema that the queries of this version run on. Raise it with the first query that needs a later migration.
SCHEMA_REVISION_NEEDED: Final = 1

NO_SCHEMA: Final = "The database has no schema: run `payment-service migrate`."

_sql = load(__package__, "schema_check.sql")


class SchemaError(Exception):
    """The schema does not fit this version. The message says what to run; the command line exits with 3."""


async def schema_state(connection: Connection | Pool) -> tuple[int | None, int]:
    """Return the revision of the schema (None if there is none) and the minimum revision that a service must know."""
    try:
        row = await connection.fetchrow(_sql.schema_state)
    except asyncpg.UndefinedTableError:
        return None, 0
    return (int(row["revision"]) if row and row["revision"] else None), (row["minimum"] or 0) if row else 0


def judge(revision: int | None, minimum: int) -> str | None:
    """Return the reason why this version cannot run on a schema, in one sentence; None if it can.

    A newer schema is fine unless a migration raised `schema_minimum`.
    """
    if revision is None:
        return NO_SCHEMA
    if revision < SCHEMA_REVISION_NEEDED:
        return f"The schema is at revision {revision}, but this version needs {SCHEMA_REVISION_NEEDED}: run `payment-service migrate`."
    if minimum > SCHEMA_REVISION_NEEDED:
        return (
            f"The schema (revision {revision}) needs a service that supports revision {minimum}, "
            f"this version supports {SCHEMA_REVISION_NEEDED}: deploy a newer version of payment-service."
        )
    return None


async def schema_problem(pool: Connection | Pool) -> str | None:
    """Return the reason why this version cannot run on the schema of this database, in one sentence; None if it can."""
    return judge(*await schema_state(pool)) or await _missing_tables(pool)


async def _missing_tables(pool: Connection | Pool) -> str | None:
    revisions = {row["provider"]: row["revision"] for row in await pool.fetch(_sql.provider_schemas)}
    missing = [name for name, plugin in installed().items() if revisions.get(name, 0) < len(plugin.migrations)]
    if not missing:
        return None
    return f"The database lacks tables of the installed provider {missing[0]}: run `payment-service migrate`."
