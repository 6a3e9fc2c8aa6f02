"""Rows of `payment_attempts`: the attempts of customers to pay. Nothing is decided by them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from payment_service.db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool
    from payment_service.domain.payment_attempt import PaymentAttempt

_SQL = load(__package__, "payment_attempts.sql")

Row = dict[str, Any]

# A payment may be tried by a stolen list of cards. The newest attempts show it.
SHOWN_MAX: Final = 100


async def save(connection: Connection, attempts: Sequence[tuple[UUID, str, PaymentAttempt]]) -> None:
    """Write (payment, provider, attempt) of locked payments, at most one row per attempt. Add to those that are stored."""
    made = [attempt for _, _, attempt in attempts]
    await connection.execute(
        _SQL.save,
        [payment_id for payment_id, _, _ in attempts],
        [a.name for a in made],
        [provider for _, provider, _ in attempts],
        [a.charge_id for a in made],
        [a.status.value for a in made],
        [a.amount.minor for a in made],
        [a.amount.currency.code for a in made],
        [a.code for a in made],
        [a.reason for a in made],
        [a.receipt_url for a in made],
        [datetime.fromtimestamp(a.at, UTC) for a in made],
        [a.method.id for a in made],
        [a.method.type for a in made],
        [a.method.brand for a in made],
        [a.method.last4 for a in made],
        [a.method.funding for a in made],
        [a.method.country for a in made],
        [a.method.wallet for a in made],
    )


async def of_payment(connection: Connection | Pool, payment_id: UUID) -> list[Row]:
    """List the attempts of a payment, the newest first."""
    rows = await connection.fetch(_SQL.of_payment, payment_id, SHOWN_MAX)
    return [with_method(dict(row)) for row in rows]


async def deciding(connection: Connection | Pool, payment_ids: Sequence[UUID]) -> dict[UUID, Row]:
    """Return the method and the receipt of the attempt that paid each payment, else of its latest attempt."""
    rows = await connection.fetch(_SQL.deciding, payment_ids)
    return {row["id"]: with_method(dict(row)) for row in rows}


def with_method(row: Row) -> Row:
    """Gather the columns of the payment method in `payment_method`."""
    names = ("brand", "last4", "funding", "country", "wallet")
    method = {"id": row.pop("payment_method_id"), "type": row.pop("payment_method_type")}
    method |= {name: row.pop(f"card_{name}") for name in names}
    return {**row, "payment_method": method}
