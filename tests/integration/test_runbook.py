"""Test that the SQL in the runbook, troubleshooting and upgrading pages fits the schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import asyncpg
import pytest

DOCS: Final = Path(__file__).parents[2] / "docs"
TEXT: Final = "".join((DOCS / name).read_text() for name in ("runbook.md", "troubleshooting.md", "upgrading.md"))
STATEMENTS: Final = [
    statement.strip()
    for block in re.findall(r"^```sql\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    for statement in block.split(";\n")
    if statement.strip()
]


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_every_statement_fits_the_schema(database_dsn: str, statement: str) -> None:
    """Statements are prepared, not run. psql's variables become parameters."""
    names = list(dict.fromkeys(re.findall(r":'(\w+)'", statement)))
    for number, name in enumerate(names, 1):
        statement = statement.replace(f":'{name}'", f"${number}")
    connection = await asyncpg.connect(database_dsn)
    try:
        await connection.prepare(statement)
    finally:
        await connection.close()
