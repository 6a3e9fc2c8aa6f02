"""Write `docs/schema.sql` from the catalog of a migrated database: `python -m scripts.document_schema`. A test compares.

The queries are our own and not pg_dump's, so that PostgreSQL 15 to 18 give the same text, with comments next to what they
describe.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import psycopg

from payment_service.db.migrate import migrate
from payment_service_demo.embedded.postgres import EmbeddedPostgres

SCHEMA: Final = Path(__file__).resolve().parents[1] / "docs" / "schema.sql"
HEAD: Final = """\
-- The schema of the database, made by `make docs` from the migrations in src/payment_service/db/migrations.
-- Read it here; create it with `payment-service migrate`, which also creates the partitions by week.
"""
# Revision of the schema: Alembic creates this table.
_OTHERS: Final = ("alembic_version",)
_SHORTER: Final = {
    "public.": "",
    "CREATE OR REPLACE": "CREATE",
    " USING btree": "",
    "timestamp with time zone": "timestamptz",
}
# Objects have the order of their creation, so what an object needs stands before it.
_FUNCTIONS: Final = """
    SELECT pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc')
    FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace ORDER BY p.oid
"""
_SEQUENCES: Final = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'S'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i')) ORDER BY c.oid
"""
_TABLES: Final = """
    SELECT c.oid, c.relname, obj_description(c.oid, 'pg_class'), pg_get_partkeydef(c.oid), array_to_string(c.reloptions, ', '),
           (SELECT d.relname FROM pg_partitioned_table p JOIN pg_class d ON d.oid = p.partdefid WHERE p.partrelid = c.oid)
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> ALL (%s)
    ORDER BY c.oid
"""
_COLUMNS: Final = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity = 'a',
           col_description(a.attrelid, a.attnum)
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
# PostgreSQL 18 lists NOT NULL among the constraints, older versions only as a property of the column.
_CONSTRAINTS: Final = """
    SELECT conname, pg_get_constraintdef(oid, true) FROM pg_constraint
    WHERE conrelid = %s AND contype IN ('p', 'u', 'f', 'c') ORDER BY position(contype::text IN 'pufc'), conname
"""
_INDEXES: Final = """
    SELECT pg_get_indexdef(i.indexrelid, 0, true) FROM pg_index i
    WHERE i.indrelid = %s AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u'))
    ORDER BY i.indexrelid
"""
_VIEWS: Final = """
    SELECT c.relname, obj_description(c.oid, 'pg_class'), pg_get_viewdef(c.oid, true) FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v' ORDER BY c.oid
"""


def document(dsn: str) -> str:
    """Return the text for the schema of a migrated database."""
    with psycopg.connect(dsn) as connection:
        parts = [
            HEAD,
            *(_function(*row) for row in connection.execute(_FUNCTIONS).fetchall()),
            "".join(f"CREATE SEQUENCE {name};\n" for (name,) in connection.execute(_SEQUENCES).fetchall()),
            *(_table(connection, *row) for row in connection.execute(_TABLES, [list(_OTHERS)]).fetchall()),
            *(_view(*row) for row in connection.execute(_VIEWS).fetchall()),
        ]
    return "\n".join(parts)


def _function(definition: str, comment: str) -> str:
    return f"-- {comment}\n{_plain(definition).rstrip()};\n"


def _table(
    connection: psycopg.Connection[Any], oid: int, name: str, comment: str, key: str | None, options: str | None, default: str | None
) -> str:  # fmt: skip
    columns = connection.execute(_COLUMNS, [oid]).fetchall()
    constraints = connection.execute(_CONSTRAINTS, [oid]).fetchall()
    widths = [max(len(_plain(column[i])) for column in columns) for i in (0, 1)]
    lines = [(_column(widths, *column[:5]), str(column[5] or "")) for column in columns]
    lines += [(f"CONSTRAINT {constraint} {definition}", "") for constraint, definition in constraints]
    body = [
        f"    {_plain(text)}{',' if number < len(lines) else ''}{f'  -- {note}' if note else ''}"
        for number, (text, note) in enumerate(lines, 1)
    ]
    tail = (f" PARTITION BY {key}" if key else "") + (f" WITH ({options})" if options else "")
    indexes = [f"{_plain(row[0])};" for row in connection.execute(_INDEXES, [oid]).fetchall()]
    partition = [f"CREATE TABLE {default} PARTITION OF {name} DEFAULT;"] if default else []
    return "\n".join([f"-- {comment}", f"CREATE TABLE {name} (", *body, f"){tail};", *partition, *indexes, ""])


def _column(widths: list[int], name: str, kind: str, required: bool, default: str | None, identity: bool) -> str:  # noqa: FBT001 - a row
    parts = [name.ljust(widths[0]), _plain(kind).ljust(widths[1])]
    if identity:
        parts.append("GENERATED ALWAYS AS IDENTITY")
    elif required:
        parts.append("NOT NULL")
    if default is not None:
        parts.append(f"DEFAULT {default}")
    return " ".join(parts).rstrip()


def _view(name: str, comment: str, definition: str) -> str:
    # PostgreSQL 15 names the table before each column of a view over a single table, later versions do not.
    table = re.search(r"FROM (\w+);", definition)
    text = definition.replace(f"{table[1]}.", "") if table else definition
    return f"-- {comment}\nCREATE VIEW {name} AS\n{_plain(text)}\n"


def _plain(text: str) -> str:
    """Leave out what is the default anyway, and take the short name of a type."""
    for longer, shorter in _SHORTER.items():
        text = text.replace(longer, shorter)
    return re.sub(r"'::text(?!\[)", "'", text)


def main() -> None:
    """Migrate a database of our own and write the file."""
    with EmbeddedPostgres(fsync=False) as postgres:
        migrate(postgres.dsn)
        SCHEMA.write_text(document(postgres.dsn))


if __name__ == "__main__":
    main()
