"""Rules about rows, run in slices: each slice is one short read-only transaction, so memory stays flat.

The name of a rule is its code. Each rule is one statement, so a concurrent change is either visible to it or not.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from payment_service.db.queries import load
from payment_service.domain.differences import Difference, Sides
from payment_service.domain.dispute import DISPUTE_STATUS_ORDER
from payment_service.domain.payment import STATUS_ORDER, TRANSITIONS, Status
from payment_service.domain.refund import REFUND_STATUS_ORDER, RefundStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import asyncpg

    from payment_service.db.keyset import KeysetCursor
    from payment_service.db.pool import Connection, Pool

_PAYMENTS = load(__package__, "consistency.sql")
_HISTORY = load(__package__, "consistency_history.sql")
_RECORDS = load(__package__, "consistency_records.sql")
_SLICES = load(__package__, "consistency_slices.sql")

_OVER_RECORDS: Final = (
    "record_without_history",
    "record_written_twice",
    "record_out_of_order",
    "record_not_placed",
    "record_published_out_of_order",
    "records_on_two_partitions",
)
_OVER_HISTORY: Final = ("history_without_payment",)
OVER_TABLES: Final = (
    "event_forgotten",
    "pending_without_record",
    "dead_letter_missing",
    "rows_in_default_partition",
    "budget_missing",
)
# Rows of a rule about a whole table. More of one kind have one cause, and a second run shows the rest.
TABLE_LIMIT: Final = 10_000
# A row gets its number after the start of its transaction, which is its time. `statement_timeout` and
# `idle_in_transaction_session_timeout` end any transaction of the service long before.
NUMBERED_EARLY_MAX: Final = timedelta(minutes=5)


def _orders(orders: Mapping[Any, tuple[int, int]]) -> list[str]:
    return [f"{status.value}:{rank}:{precedence}" for status, (rank, precedence) in orders.items()]


# A payment without a fact is `created`. A refund is `pending` without a fact, and `failed` with the lowest key if it was refused.
_ARGUMENTS: Final[Mapping[str, list[str]]] = {
    "payment_fact_differs_from_status": [Status.CREATED.value, *_orders(STATUS_ORDER)],
    "refund_fact_differs_from_status": [
        RefundStatus.PENDING.value,
        f"{RefundStatus.FAILED.value}:0:0",
        *_orders(REFUND_STATUS_ORDER),
    ],
    "dispute_fact_differs_from_status": _orders(DISPUTE_STATUS_ORDER),
    "transition_not_allowed": [f"{before}:{after}" for before, allowed in TRANSITIONS.items() for after in allowed],
}


class CreatedPayment(NamedTuple):
    """A payment and the time of its creation."""

    id: UUID
    created_at: datetime


@asynccontextmanager
async def reading(pool: Pool) -> AsyncIterator[Connection]:
    """Open a read-only transaction with one snapshot."""
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield connection


async def payments_after(pool: Pool, last: UUID, *, limit: int) -> list[UUID]:
    """Return the next `limit` payments by id."""
    async with reading(pool) as connection:
        return [row["id"] for row in await connection.fetch(_SLICES.payments_after, last, limit)]


async def created_after(pool: Pool, cursor: KeysetCursor, *, limit: int) -> list[CreatedPayment]:
    """Return the next `limit` payments in the order of their creation."""
    async with reading(pool) as connection:
        rows = await connection.fetch(_SLICES.created_after, cursor.at, cursor.name, limit)
    return [CreatedPayment(row["id"], row["created_at"]) for row in rows]


async def changed_in(pool: Pool, after: int, until: int, *, created_before: datetime) -> list[UUID]:
    """Return the payments whose last history row is after one id up to another, and that were created before a time."""
    async with reading(pool) as connection:
        rows = await connection.fetch(_SLICES.changed_in, after, until, created_before)
    return [row["payment_id"] for row in rows]


async def records_after(pool: Pool, position: int, *, limit: int) -> int | None:
    """Return the last position of the next `limit` outbox records, or None at the end."""
    async with reading(pool) as connection:
        last: int | None = await connection.fetchval(_SLICES.records_after, position, limit)
    return last


async def history_after(pool: Pool, row_id: int, *, limit: int) -> int | None:
    """Return the last id of the next `limit` rows of the history, or None at the end."""
    async with reading(pool) as connection:
        last: int | None = await connection.fetchval(_SLICES.history_after, row_id, limit)
    return last


async def records_before(pool: Pool, since: datetime) -> int:
    """Return a position that every outbox record written since a time is after."""
    return await _number_before(pool, _SLICES.record_from, _SLICES.last_record, since - NUMBERED_EARLY_MAX)


async def history_before(pool: Pool, since: datetime) -> int:
    """Return an id that every history row written since a time is after."""
    return await _number_before(pool, _SLICES.history_from, _SLICES.last_history, since - NUMBERED_EARLY_MAX)


async def _number_before(pool: Pool, from_number: str, last_number: str, since: datetime) -> int:
    """Search by halves: numbers grow with the time, and a table has no index on it. About 30 reads of one row."""
    async with reading(pool) as connection:
        low, high = 0, (await connection.fetchval(last_number) or 0) + 1
        while low + 1 < high:
            middle = (low + high) // 2
            created_at = await connection.fetchval(from_number, middle)
            low, high = (middle, high) if created_at is not None and created_at < since else (low, middle)
    return low


async def check_again(pool: Pool, ids: Sequence[UUID]) -> list[Difference]:
    """Run the rules about payments over some payments, their records and their history."""
    async with reading(pool) as connection:
        positions = [row["position"] for row in await connection.fetch(_SLICES.records_of, ids)]
        beginnings = [row["id"] for row in await connection.fetch(_SLICES.beginnings_of, ids)]
    found = await check_payments(pool, ids)
    for position in positions:
        found += await check_records(pool, position - 1, position)
    for row_id in beginnings:
        found += await check_history(pool, row_id - 1, row_id)
    return found


async def check_payments(pool: Pool, ids: Sequence[UUID]) -> list[Difference]:
    """Run the rules over some payments."""
    found = []
    async with reading(pool) as connection:
        for rules in (_PAYMENTS, _HISTORY):
            for code, statement in vars(rules).items():
                extra = [_ARGUMENTS[code]] if code in _ARGUMENTS else []
                found += _differences(code, await connection.fetch(statement, ids, *extra))
    return found


async def check_records(pool: Pool, after: int, until: int) -> list[Difference]:
    """Run the rules over the outbox records after one position up to another."""
    return await _check(pool, _OVER_RECORDS, after, until)


async def check_history(pool: Pool, after: int, until: int) -> list[Difference]:
    """Run the rules over the rows of the history after one id up to another."""
    return await _check(pool, _OVER_HISTORY, after, until)


async def check_tables(pool: Pool) -> list[Difference]:
    """Run the rules about whole tables."""
    return await _check(pool, OVER_TABLES, TABLE_LIMIT)


async def record_contents(pool: Pool, after: int, until: int) -> list[dict[str, Any]]:
    """Return the records of payments in a slice, with the rows that their contents describe."""
    async with reading(pool) as connection:
        return [dict(row) for row in await connection.fetch(_RECORDS.contents, after, until)]


async def _check(pool: Pool, codes: Sequence[str], *arguments: int) -> list[Difference]:
    async with reading(pool) as connection:
        return [
            difference
            for code in codes
            for difference in _differences(code, await connection.fetch(getattr(_RECORDS, code), *arguments))
        ]


def _differences(code: str, rows: Sequence[asyncpg.Record]) -> list[Difference]:
    return [
        Difference(
            sides=Sides.ROWS,
            code=code,
            subject=row["subject"],
            payment_id=row["payment_id"],
            detail=row["detail"],
        )
        for row in rows
    ]
