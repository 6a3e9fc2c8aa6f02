"""Test that docs/schema.sql is the schema that the migrations create."""

from __future__ import annotations

import psycopg

from scripts.document_schema import SCHEMA, document


def test_the_documented_schema_matches_the_migrations(database_dsn: str) -> None:
    """`make docs` writes the file."""
    assert document(database_dsn) == SCHEMA.read_text()


def test_the_documented_schema_creates_the_same_tables(empty_database_dsn: str, database_dsn: str) -> None:
    """The file has the catalog's comments as SQL comments, so the comparison leaves them out."""
    with psycopg.connect(empty_database_dsn) as connection:
        connection.execute(SCHEMA.read_text().encode())
    created, migrated = (
        [line.partition("  -- ")[0] for line in document(dsn).splitlines() if not line.startswith("--")]
        for dsn in (empty_database_dsn, database_dsn)
    )
    assert created == migrated
