"""Test that the server can prepare every named query on the migrated schema."""

from __future__ import annotations

from importlib.resources import files

import asyncpg

from payment_service.db.queries import load

# Maintenance and migration use psycopg with partition names filled in; their own tests run every statement.
PSYCOPG = {"maintain.sql", "migrate.sql"}
QUERIES = {
    f"{file.name}:{name}": sql
    for file in files("payment_service.db").iterdir()
    if file.name.endswith(".sql")
    for name, sql in vars(load("payment_service.db", file.name)).items()
    if file.name not in PSYCOPG
}


async def test_every_query_fits_the_schema(database_dsn: str) -> None:
    """Preparing resolves every table, column, type and parameter without running the query."""
    assert len(QUERIES) > 30
    connection = await asyncpg.connect(database_dsn)
    misfits = {}
    for name, sql in QUERIES.items():
        try:
            await connection.prepare(sql)
        except asyncpg.PostgresError as error:
            misfits[name] = str(error)
    await connection.close()
    assert misfits == {}
