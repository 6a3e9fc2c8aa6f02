"""Does the database's schema fit this version of the service?"""

from __future__ import annotations

from typing import Final

import asyncpg

from payment_service.db.pool import Connection, Pool
from payment_service.db.queries import load

# The oldest schema that this version's queries run on. Raised with the first query that needs a later migration.
SCHEMA_REVISION_NEEDED: Final = 1

NO_SCHEMA: Final = "The database has no schema: run `payment-service migrate`."

_sql = load(__package__, "schema.sql")


class SchemaError(Exception):
    """The schema doesn't fit; the message says what to run. The command line exits 3."""


async def schema_state(connection: Connection | Pool) -> tuple[int | None, int]:
    """Give the schema's revision (None: there is no schema) and the least revision that a service must know."""
    try:
        row = await connection.fetchrow(_sql.schema_state)
    except asyncpg.UndefinedTableError:
        return None, 0
    return (int(row["revision"]) if row and row["revision"] else None), (row["minimum"] or 0) if row else 0


def judge(revision: int | None, minimum: int) -> str | None:
    """Say in one sentence why this version can't run on a schema, or None when it can.

    A newer schema is fine unless the migration that made it has recorded that older services would break on it.
    """
    if revision is None:
        return NO_SCHEMA
    if revision < SCHEMA_REVISION_NEEDED:
        return f"The schema is at revision {revision}, this version needs {SCHEMA_REVISION_NEEDED}: run `payment-service migrate`."
    if minimum > SCHEMA_REVISION_NEEDED:
        return (
            f"The schema (revision {revision}) needs a service that knows revision {minimum}, "
            f"this one knows {SCHEMA_REVISION_NEEDED}: deploy a newer version of payment-service."
        )
    return None


async def schema_problem(pool: Connection | Pool) -> str | None:
    """Say in one sentence why the service can't run on this database's schema, or None when it can."""
    return judge(*await schema_state(pool))
