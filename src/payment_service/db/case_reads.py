"""What hangs on one payment, for people. Nothing here is locked, and nothing is decided by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payment_service.db.queries import load

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "case_reads.sql")

Row = dict[str, Any]


async def operations_of_payment(connection: Connection | Pool, payment_id: UUID) -> list[Row]:
    """Read a payment's calls to the provider, in the order in which they are made."""
    return [dict(row) for row in await connection.fetch(_SQL.operations_of_payment, payment_id)]


async def events_of_payment(connection: Connection | Pool, payment_id: UUID) -> list[Row]:
    """Read what the provider told of a payment, without payloads, in the provider's order."""
    return [dict(row) for row in await connection.fetch(_SQL.events_of_payment, payment_id)]


async def changes_of_payment(connection: Connection | Pool, payment_id: UUID) -> list[Row]:
    """Read a payment's history, with what was announced of it and whether that is published."""
    return [dict(row) for row in await connection.fetch(_SQL.changes_of_payment, payment_id)]
