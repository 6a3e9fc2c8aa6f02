"""Rows that reconciliation compares with the objects of a provider: one statement for a page of objects."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from payment_service.db.payments import from_row
from payment_service.db.queries import load
from payment_service.domain.dispute import read_status
from payment_service.domain.refund import RefundStatus
from payment_service.provider.listed_objects import ObjectKind
from payment_service_events.currency import currency
from payment_service_events.money import Money

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from payment_service.db.keyset import KeysetCursor
    from payment_service.db.pool import Connection, Pool
    from payment_service.domain.payment import Payment

_SQL = load(__package__, "comparisons.sql")
_PAYMENTS = load(__package__, "payments.sql")

_CREATED: Final = {
    ObjectKind.INTENT: _SQL.payments_created,
    ObjectKind.REFUND: _SQL.refunds_created,
    ObjectKind.DISPUTE: _SQL.disputes_created,
}
_OF_OBJECT: Final = {
    ObjectKind.INTENT: _SQL.payment_of_object,
    ObjectKind.REFUND: _SQL.refund_of_object,
    ObjectKind.DISPUTE: _SQL.dispute_of_object,
}
WITH_ROWS: Final = tuple(_CREATED)
"""The kinds of objects that have a row each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPayment:
    """A payment with the calls about it. `kinds`: those of all its operations, finished or not."""

    payment: Payment
    manual_capture: bool
    created_at: datetime
    in_flight: bool
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRefund:
    """A refund, as far as it is compared."""

    id: UUID
    payment_id: UUID
    provider_refund_id: str | None
    amount: Money
    status: RefundStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDispute:
    """A dispute, as far as it is compared. `evidence_due_at`: seconds since 1970."""

    payment_id: UUID
    amount: Money
    status: str
    evidence_due_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedRow:
    """A row with an object at the provider."""

    id: UUID
    created_at: datetime
    object_id: str
    payment_id: UUID


async def payments_of_objects(
    connection: Connection | Pool, provider: str, intents: Collection[str], ids: Collection[UUID]
) -> list[KnownPayment]:
    """Return the payments that own these intents or have these ids."""
    return [
        KnownPayment(
            payment=from_row(row),
            manual_capture=row["capture_method"] == "manual",
            created_at=row["created_at"],
            in_flight=row["in_flight"],
            kinds=frozenset(row["kinds"]),
        )
        for row in await connection.fetch(_PAYMENTS.of_objects, provider, list(intents), list(ids))
    ]


async def refunds_of_objects(
    connection: Connection | Pool, provider: str, provider_ids: Collection[str], ids: Collection[UUID]
) -> list[KnownRefund]:
    """Return the refunds with these ids at the provider, or with these ids."""
    return [
        KnownRefund(
            id=row["id"],
            payment_id=row["payment_id"],
            provider_refund_id=row["provider_refund_id"],
            amount=Money(row["amount"], currency(row["currency"])),
            status=RefundStatus(row["status"]),
        )
        for row in await connection.fetch(_SQL.refunds_of_objects, provider, list(provider_ids), list(ids))
    ]


async def disputes_of_objects(
    connection: Connection | Pool, provider: str, provider_ids: Collection[str]
) -> dict[str, KnownDispute]:
    """Return the disputes with these ids at the provider."""
    return {
        row["provider_dispute_id"]: KnownDispute(
            payment_id=row["payment_id"],
            amount=Money(row["amount"], currency(row["currency"])),
            status=read_status(row["status"]),
            evidence_due_at=int(row["evidence_due_at"].timestamp()) if row["evidence_due_at"] else None,
        )
        for row in await connection.fetch(_SQL.disputes_of_objects, provider, list(provider_ids))
    }


async def finished_operations(connection: Connection | Pool, ids: Collection[UUID]) -> set[UUID]:
    """Return those of these operations that have ended, or wait for an operator."""
    return {row["id"] for row in await connection.fetch(_SQL.finished_operations, list(ids))}


async def created_rows(
    pool: Pool, kind: ObjectKind, provider: str, *, after: KeysetCursor, until: datetime, limit: int
) -> list[CreatedRow]:
    """List the rows of a kind with an object at the provider, the oldest first."""
    rows = await pool.fetch(_CREATED[kind], provider, after.at, after.name, until, limit)
    return [CreatedRow(**row) for row in rows]


async def row_of_object(pool: Pool, kind: ObjectKind, provider: str, object_id: str) -> CreatedRow | None:
    """Return the row of an object; None if there is none, or objects of this kind have no rows."""
    row = await pool.fetchrow(_OF_OBJECT[kind], provider, object_id) if kind in _OF_OBJECT else None
    return CreatedRow(**row) if row else None


async def published_causes(
    connection: Connection, payment_ids: Collection[UUID]
) -> defaultdict[UUID, set[tuple[str, str]]]:
    """Return the (topic, cause) of every event that these payments have published."""
    found: defaultdict[UUID, set[tuple[str, str]]] = defaultdict(set)
    for row in await connection.fetch(_SQL.published_causes, list(payment_ids)):
        found[row["payment_id"]].add((row["published_topic"], row["cause"]))
    return found
