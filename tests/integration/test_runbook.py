"""The runbook's SQL is run by tired people at night: it fits the schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import asyncpg
import pytest

TEXT: Final = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
STATEMENTS: Final = [
    statement.strip()
    for block in re.findall(r"^```sql\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    for statement in block.split(";\n")
    if statement.strip()
]


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_every_statement_of_the_runbook_fits_the_schema(database_dsn: str, statement: str) -> None:
    """Prepared, not run; psql's variables become parameters."""
    names = list(dict.fromkeys(re.findall(r":'(\w+)'", statement)))
    for number, name in enumerate(names, 1):
        statement = statement.replace(f":'{name}'", f"${number}")
    connection = await asyncpg.connect(database_dsn)
    try:
        await connection.prepare(statement)
    finally:
        await connection.close()


async def test_a_parked_create_that_is_let_go_is_looked_for_before_another_is_made(database_dsn: str) -> None:
    """The runbook's way out of `parked` must not lead to a second intent, so it asks for a read."""
    [release] = [statement for statement in STATEMENTS if statement.startswith("UPDATE operations")]
    connection = await asyncpg.connect(database_dsn)
    try:
        payment, parked, odd = (f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2, 3))
        await connection.execute(
            "INSERT INTO payments (id, order_id, provider, amount, currency, order_topic, order_partition, order_offset) "
            "VALUES ($1, 'o-1', 'stripe', 1990, 'eur', 'orders.created', 0, 0)",
            payment,
        )
        for name, code in ((parked, "parameter_unknown"), (odd, "malformed_intent")):
            await connection.execute(
                "INSERT INTO operations (id, payment_id, provider, kind, state, cause, request_method, request_path, "
                "request_body, api_version, outcome_code) VALUES ($1, $2, 'stripe', 'create', 'parked', 'order', '', '', '', '', $3)",
                name,
                payment,
                code,
            )
            await connection.execute(release.replace(":'id'", "$1"), name)
        rows = await connection.fetch("SELECT state, resolving FROM operations ORDER BY id")
        assert [tuple(row) for row in rows] == [("due", True), ("parked", False)]
    finally:
        await connection.close()
