"""Rows of `disputes`, as the Dispute of the domain."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from payment_service.db.queries import load
from payment_service.domain.dispute import Dispute, read_status
from payment_service.domain.payment import FactKey
from payment_service_events.currency import currency
from payment_service_events.money import Money

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from payment_service.db.pool import Connection

_SQL = load(__package__, "disputes.sql")


async def of_payments(connection: Connection, payment_ids: Iterable[UUID]) -> dict[UUID, dict[UUID, Dispute]]:
    """Return all disputes of locked payments, by payment and id."""
    wanted = list(payment_ids)
    found: dict[UUID, dict[UUID, Dispute]] = {payment_id: {} for payment_id in wanted}
    for row in await connection.fetch(_SQL.of_payments, wanted):
        found[row["payment_id"]][row["id"]] = _from_row(row)
    return found


async def save(connection: Connection, disputes: Sequence[tuple[Dispute, str]]) -> None:
    """Write (dispute, provider) of locked payments."""
    await connection.execute(
        _SQL.save,
        [d.id for d, _ in disputes],
        [d.payment_id for d, _ in disputes],
        [provider for _, provider in disputes],
        [d.provider_dispute_id for d, _ in disputes],
        [d.amount.minor for d, _ in disputes],
        [d.amount.currency.code for d, _ in disputes],
        [str(d.status) for d, _ in disputes],
        [d.reason for d, _ in disputes],
        [
            datetime.fromtimestamp(d.evidence_due_at, UTC) if d.evidence_due_at is not None else None
            for d, _ in disputes
        ],
        [d.funds_withdrawn for d, _ in disputes],
        [d.key.rank for d, _ in disputes],
        [d.key.at for d, _ in disputes],
        [d.key.precedence for d, _ in disputes],
        [d.key.source for d, _ in disputes],
    )


def _from_row(row: Any) -> Dispute:
    return Dispute(
        id=row["id"],
        payment_id=row["payment_id"],
        provider_dispute_id=row["provider_dispute_id"],
        amount=Money(row["amount"], currency(row["currency"])),
        status=read_status(row["status"]),
        reason=row["reason"],
        evidence_due_at=int(row["evidence_due_at"].timestamp()) if row["evidence_due_at"] else None,
        funds_withdrawn=row["funds_withdrawn"],
        key=FactKey(row["fact_rank"], row["fact_at"], row["fact_precedence"], row["fact_source"]),
    )
