"""A backup of a test's database, as pg_dump makes it: all rows of one snapshot, while the service writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import psycopg
from psycopg import sql

from payment_service.db.recovery import PublishedRecord

_TABLES = """
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
AND c.relname NOT IN ('alembic_version', 'schema_minimum') ORDER BY c.oid
"""
_SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public'"
_COLUMNS = """
SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""


@dataclass(frozen=True, slots=True)
class Backup:
    """The rows of each table in COPY format, the sequences, and the time of the snapshot."""

    taken_at: datetime
    tables: dict[str, bytes]
    sequences: dict[str, int]

    @classmethod
    def take(cls, dsn: str) -> Self:
        """Copy all rows in one snapshot."""
        with psycopg.connect(dsn) as connection:
            connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            names = [row[0] for row in connection.execute(_TABLES).fetchall()]
            taken_at = datetime.now(UTC)
            tables = {name: _copy_out(connection, name) for name in names}
            sequences = {name: last for name, last in connection.execute(_SEQUENCES).fetchall() if last is not None}
        return cls(taken_at, tables, sequences)

    def restore(self, dsn: str) -> None:
        """Replace all rows by those of the snapshot."""
        with psycopg.connect(dsn) as connection:
            names = sql.SQL(", ").join(map(sql.Identifier, self.tables))
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))
            for name, rows in self.tables.items():
                statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), _columns(connection, name))
                with connection.cursor().copy(statement) as copy:
                    copy.write(rows)
            for name, last in self.sequences.items():
                connection.execute("SELECT setval(%s::regclass, %s)", (name, last))


def _copy_out(connection: psycopg.Connection, name: str) -> bytes:
    statement = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(_columns(connection, name), sql.Identifier(name))
    with connection.cursor().copy(statement) as copy:
        return b"".join(copy)


def _columns(connection: psycopg.Connection, name: str) -> sql.Composed:
    found = connection.execute(_COLUMNS, (name,)).fetchall()
    return sql.SQL(", ").join(sql.Identifier(row[0]) for row in found)


def published_record(row: Any, offset: int) -> PublishedRecord:
    """Return a row of the outbox as its topic has it."""
    headers = dict(json.loads(row["headers"]))
    return PublishedRecord(
        ce_id=row["id"],
        payment_id=row["aggregateid"],
        attempt=int(headers["ce_attempt"]),
        sequence=row["sequence"],
        topic=row["type"],
        partition=0,
        offset=offset,
        key=row["key"],
        value=row["payload"],
        headers=[(name, text.encode("latin-1")) for name, text in headers.items()],
        recorded_at=row["created_at"],
    )
