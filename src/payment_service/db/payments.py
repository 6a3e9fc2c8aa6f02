"""Rows of `payments`, as the Payment of the domain."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from payment_service.db import polls
from payment_service.db.queries import columns, load
from payment_service.domain.payment import FactKey, Payment, Status
from payment_service_events.currency import currency
from payment_service_events.money import Money

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from uuid import UUID

    import asyncpg

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "payments.sql")
_SAVED = tuple(column.name for column in columns(__package__, "payments.sql", "saved"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """A payment to insert, with the order record that it comes from. An unpaid one is canceled at `expires_at`; None means never."""

    id: UUID
    order_id: str
    user_id: str
    provider: str
    amount: Money
    topic: str
    partition: int
    offset: int
    traceparent: str | None
    manual_capture: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """The terms of an order that has a payment."""

    amount: Money
    user_id: str
    provider: str


@dataclass(frozen=True, slots=True)
class Expiring:
    """A locked payment whose time is over. `due_at` is when the expiry loop was to check it."""

    payment: Payment
    due_at: datetime


class SaveConflict(Exception):
    """A locked row changed meanwhile. This is a defect, so the whole transaction is rolled back."""


async def insert(connection: Connection, payments: Sequence[NewPayment]) -> set[UUID]:
    """Insert the payments that do not exist yet; return their ids."""
    rows = await connection.fetch(
        _SQL.insert,
        [p.id for p in payments],
        [p.order_id for p in payments],
        [p.user_id for p in payments],
        [p.provider for p in payments],
        [p.amount.minor for p in payments],
        [p.amount.currency.code for p in payments],
        [p.topic for p in payments],
        [p.partition for p in payments],
        [p.offset for p in payments],
        [p.traceparent for p in payments],
        ["manual" if p.manual_capture else "automatic" for p in payments],
        [json.dumps(dict(p.metadata)) if p.metadata else "{}" for p in payments],
        [p.expires_at for p in payments],
        polls.wait_s(0),
    )
    return {row["id"] for row in rows}


async def lock_available(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, Payment]:
    """Lock the payments that exist, in the order of their ids; skip those that other sessions have locked."""
    rows = await connection.fetch(_SQL.lock_available, sorted(ids))
    return {row["id"]: from_row(row) for row in rows}


async def lock_one(connection: Connection, payment_id: UUID) -> Payment | None:
    """Lock a payment, or return None if there is none. Raises LockNotAvailableError if it stays locked for lock_timeout."""
    row = await connection.fetchrow(_SQL.lock_one, payment_id)
    return from_row(row) if row else None


async def is_captured_manually(connection: Connection, payment_id: UUID) -> bool:
    """Return whether a payment is captured on request."""
    return bool(await connection.fetchval(_SQL.is_captured_manually, payment_id))


async def unpaid_code(connection: Connection, payment_id: UUID) -> str | None:
    """Return the code with which the end of an unpaid payment was published; None if its record is gone."""
    code: str | None = await connection.fetchval(_SQL.unpaid_code, payment_id)
    return code


async def newest_of_orders(connection: Connection, order_ids: Sequence[str]) -> dict[str, UUID]:
    """Return the newest payment of each order that has one. All earlier payments ended unpaid."""
    rows = await connection.fetch(_SQL.newest_of_orders, order_ids)
    return {row["order_id"]: row["id"] for row in rows}


async def lock_expiring(
    connection: Connection, now: datetime, providers: Collection[str], limit: int
) -> list[Expiring]:
    """Lock unpaid payments of these providers that expired by `now`; skip those that other sessions have locked."""
    rows = await connection.fetch(_SQL.lock_expiring, now, list(providers), limit)
    return [Expiring(from_row(row), row["expiry_due_at"]) for row in rows]


async def postpone_expiry(connection: Connection, ids: Sequence[UUID], until: datetime) -> None:
    """Set when the expiry loop checks these payments again."""
    await connection.execute(_SQL.postpone_expiry, ids, until)


async def of_intents(connection: Connection, intents: Collection[tuple[str, str]]) -> dict[tuple[str, str], UUID]:
    """Return the payments that own these intents (provider, id at the provider)."""
    rows = await connection.fetch(_SQL.of_intents, [provider for provider, _ in intents], [name for _, name in intents])
    return {(row["provider"], row["provider_payment_id"]): row["id"] for row in rows}


async def intent_of(pool: Pool, payment_id: UUID) -> str | None:
    """Return the intent of a payment; None if it has none yet."""
    found: str | None = await pool.fetchval(_SQL.intent_of, payment_id)
    return found


async def traceparent_of(pool: Pool, payment_id: UUID) -> str | None:
    """Return the trace of a payment; None if it has none."""
    found: str | None = await pool.fetchval(_SQL.traceparent_of, payment_id)
    return found


async def last_of_order(connection: Connection | Pool, order_id: str) -> Payment | None:
    """Return the latest payment of an order, without a lock."""
    row = await connection.fetchrow(_SQL.last_of_order, order_id)
    return from_row(row) if row else None


async def opened_by(connection: Connection, order_id: str, cause: str) -> UUID | None:
    """Return the payment of an order that was opened for this cause."""
    found: UUID | None = await connection.fetchval(_SQL.opened_by, order_id, cause)
    return found


async def has_unexpected_money(connection: Connection, order_id: str) -> bool:
    """Return whether unexpected money of this order needs attention."""
    return bool(await connection.fetchval(_SQL.has_unexpected_money, order_id))


async def open_next(connection: Connection, last: UUID, new: UUID, *, expires_at: datetime | None) -> str | None:
    """Insert the next payment after `last`, which ended unpaid, with its terms; return the capture method. None: another request did it."""
    method: str | None = await connection.fetchval(_SQL.open_next, last, new, expires_at, polls.wait_s(0))
    return method


async def existing(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, KnownOrder]:
    """Return the terms of the orders of these payments."""
    rows = await connection.fetch(_SQL.existing, list(ids))
    return {row["id"]: _known(row) for row in rows}


async def of_orders(connection: Connection, order_ids: Sequence[str]) -> dict[str, KnownOrder]:
    """Return the terms of those orders that have a payment."""
    rows = await connection.fetch(_SQL.of_orders, order_ids)
    return {row["order_id"]: _known(row) for row in rows}


async def save(
    connection: Connection,
    changes: Sequence[tuple[Payment, Payment]],
    *,
    polled_no_longer: Sequence[UUID] = (),
    showing: Sequence[UUID] = (),
) -> bool:
    """Write pairs (before, after) of locked payments, and end polls. Raises SaveConflict if a row differs from `before`.

    Return whether an operation is parked of a payment that is `showing` a result.
    """
    now = [_to_row(after) for _, after in changes]
    rows = await connection.fetch(
        _SQL.save,
        [before.id for before, _ in changes],
        [before.status.value for before, _ in changes],
        [before.sequence for before, _ in changes],
        *([row[name] for row in now] for name in _SAVED),
        polled_no_longer,
        showing,
    )
    if len(rows) != len(changes):
        message = f"{len(changes) - len(rows)} of {len(changes)} payments changed although they were locked"
        raise SaveConflict(message)
    return any(row["parked"] for row in rows)


def _known(row: asyncpg.Record) -> KnownOrder:
    return KnownOrder(Money(row["amount"], currency(row["currency"])), row["user_id"], row["provider"])


def _to_row(payment: Payment) -> dict[str, Any]:
    """Return the values of the columns that `save` writes."""
    key = payment.key
    return {
        "status": payment.status.value,
        "provider_payment_id": payment.provider_payment_id,
        "captured": payment.captured.minor,
        "refunded": payment.refunded.minor,
        "reserved": payment.reserved.minor,
        "payment_method_type": payment.method,
        "payment_method_id": payment.method_id,
        "sequence": payment.sequence,
        "fact_rank": key.rank if key else None,
        "fact_at": key.at if key else None,
        "fact_precedence": key.precedence if key else None,
        "fact_source": key.source if key else None,
        "declines": "\n".join(payment.declines),
        "paid_at": to_time(payment.paid_at),
        "capture_before": to_time(payment.capture_before),
    }


def to_time(seconds: int | None) -> datetime | None:
    """Return the provider's seconds since 1970 as a time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def to_seconds(time: datetime | None) -> int | None:
    """Return a time as whole seconds since 1970."""
    return None if time is None else int(time.timestamp())


def from_row(row: asyncpg.Record | dict[str, Any]) -> Payment:
    """Turn a row of `lock_available` into a Payment."""
    unit = currency(row["currency"])
    key = None
    if row["fact_rank"] is not None:
        key = FactKey(row["fact_rank"], row["fact_at"], row["fact_precedence"], row["fact_source"])
    return Payment(
        id=row["id"],
        order_id=row["order_id"],
        attempt=row["attempt"],
        user_id=row["user_id"],
        provider=row["provider"],
        provider_payment_id=row["provider_payment_id"],
        amount=Money(row["amount"], unit),
        captured=Money(row["captured"], unit),
        refunded=Money(row["refunded"], unit),
        reserved=Money(row["reserved"], unit),
        status=Status(row["status"]),
        method=row["payment_method_type"],
        method_id=row["payment_method_id"],
        sequence=row["sequence"],
        key=key,
        declines=tuple(row["declines"]),
        paid_at=to_seconds(row["paid_at"]),
        capture_before=to_seconds(row["capture_before"]),
        traceparent=row["traceparent"],
        metadata={} if row["metadata"] == "{}" else json.loads(row["metadata"]),
    )
