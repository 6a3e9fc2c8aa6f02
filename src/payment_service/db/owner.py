"""Connections of `migrate` and `maintain`, which change the schema as its owner."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo

from payment_service.config.dsn import read_dsn
from payment_service.db.pool import Connector
from payment_service.db.server import require_usable

# psycopg reads times as text, in ISO form only. Partitions begin at midnight UTC.
_FORMS: Final = {"timezone": "UTC", "datestyle": "ISO"}


def require_usable_database(dsn: str) -> None:
    """Check the database as `serve` does. Raises UnusableDatabase, and errors of the connection."""
    asyncio.run(require_usable(partial(Connector(read_dsn(dsn)), statement_cache_size=0)))


def connect_owner(dsn: str, *, settings: dict[str, str] | None = None, **arguments: Any) -> psycopg.Connection[Any]:
    """Connect with psycopg, to a server that accepts writes, with `settings` for the session. Raises psycopg.Error."""
    parsed = read_dsn(dsn)
    connection: psycopg.Connection[Any] = psycopg.connect(make_conninfo(**parsed.libpq), **arguments)
    try:
        # By a statement: poolers refuse `options`.
        with psycopg.Cursor(connection) as cursor:
            for name, value in {**parsed.settings, **_FORMS, **(settings or {})}.items():
                cursor.execute("SELECT set_config(%s, %s, false)", [name, value])
        if not connection.autocommit:
            connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection
