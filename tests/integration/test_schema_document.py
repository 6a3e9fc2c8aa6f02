"""docs/schema.sql is the schema that the migrations create."""

from __future__ import annotations

import psycopg

from scripts.document_schema import SCHEMA, document


def test_the_documented_schema_is_that_of_the_migrations(database_dsn: str) -> None:
    """`make docs` writes the file."""
    assert document(database_dsn) == SCHEMA.read_text()


def test_the_documented_schema_creates_the_same_tables(empty_database_dsn: str, database_dsn: str) -> None:
    """The comments of the catalog are comments of SQL there, so they are left out of the comparison."""
    with psycopg.connect(empty_database_dsn) as connection:
        connection.execute(SCHEMA.read_text().encode())
    created, migrated = (
        [line.partition("  -- ")[0] for line in document(dsn).splitlines() if not line.startswith("--")]
        for dsn in (empty_database_dsn, database_dsn)
    )
    assert created == migrated
