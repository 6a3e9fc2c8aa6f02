"""Rows of the ledger: intents, transfers and transfers back. Each statement runs alone or in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from payment_service.bank_transfer.events import Intent, LedgerRefund, booked_at
from payment_service.db.queries import load
from payment_service.domain.payment import Status
from payment_service.domain.refund import RefundStatus
from payment_service_events.currency import currency
from payment_service_events.money import Money

if TYPE_CHECKING:
    from datetime import date, datetime

    from payment_service.bank_transfer.statement import Transfer
    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "ledger.sql")


@dataclass(frozen=True, slots=True)
class KnownTransfer:
    """A recorded transaction. `outcome` is the type of its event, `reference` the intent that it names, `text` the customer's."""

    transaction_id: str
    amount: Money
    outcome: str
    reference: str | None
    booked_on: date
    text: str


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """A payment that waits for its transfer."""

    reference: str
    order_id: str
    user_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OpenRefund:
    """A transfer back that the shop has to make."""

    refund_id: UUID
    payment_id: UUID
    order_id: str
    user_id: str
    amount: Money
    created_at: datetime


async def open_intent(connection: Connection, reference: str, payment_id: UUID, amount: Money) -> Intent | None:
    """Insert an intent once, and return the one with this reference. None if the payment has another reference."""
    await connection.execute(_SQL.open_intent, reference, payment_id, amount.minor, amount.currency.code)
    return await intent(connection, reference)


async def intent(connection: Connection, reference: str, *, lock: bool = False) -> Intent | None:
    """Return an intent. `lock` holds it until the transaction ends."""
    row = await connection.fetchrow(_SQL.lock_intent if lock else _SQL.intent, reference)
    return _intent(row) if row else None


async def asked_for(connection: Connection | Pool, name: str) -> Intent | None:
    """Find an intent by its reference, payment id or order id. Of several payments of an order, return the latest."""
    try:
        payment_id = UUID(name)
    except ValueError:
        payment_id = None
    row = await connection.fetchrow(_SQL.asked_for, name, payment_id)
    return _intent(row) if row else None


async def intents_between(connection: Connection, begin: datetime, end: datetime, limit: int) -> list[Intent]:
    """Return at most `limit` intents by creation time."""
    return [_intent(row) for row in await connection.fetch(_SQL.intents_between, begin, end, limit)]


async def cancel_intent(connection: Connection, reference: str) -> Intent | None:
    """Cancel an intent unless it has ended, and return it."""
    await connection.execute(_SQL.cancel_intent, reference)
    return await intent(connection, reference)


async def claim_transfer(connection: Connection, account: str, transfer: Transfer) -> bool:
    """Insert a transaction of the account. Return False if it is known."""
    amount = transfer.amount
    return (
        await connection.fetchval(
            _SQL.claim_transfer,
            account,
            transfer.transaction_id,
            amount.minor,
            amount.currency.code,
            transfer.booked_on,
            transfer.text,
        )
        is not None
    )


async def record_outcome(
    connection: Connection, account: str, transfer: Transfer, outcome: str, paid: Intent | None
) -> None:
    """Record the outcome of a claimed transaction."""
    reference = paid.reference if paid is not None else None
    await connection.execute(_SQL.record_outcome, account, transfer.transaction_id, outcome, reference)


async def pay_intent(connection: Connection, paid: Intent, transfer: Transfer) -> None:
    """Mark a locked intent as paid."""
    await connection.execute(_SQL.pay_intent, paid.reference, booked_at(transfer))


async def lock_transfer(connection: Connection, account: str, transaction_id: str) -> KnownTransfer:
    """Lock and return a known transaction."""
    row: Any = await connection.fetchrow(_SQL.lock_transfer, account, transaction_id)
    return _known(row)


async def transfer(connection: Connection, account: str, transaction_id: str) -> KnownTransfer | None:
    """Return a transaction, if it is known."""
    row = await connection.fetchrow(_SQL.transfer, account, transaction_id)
    return _known(row) if row else None


async def unmatched(connection: Connection, account: str, limit: int) -> list[KnownTransfer]:
    """Return the oldest transfers to this account that name no payment."""
    return [_known(row) for row in await connection.fetch(_SQL.unmatched, account, limit)]


async def open_refunds(connection: Connection, limit: int) -> list[OpenRefund]:
    """Return the oldest transfers back that nobody has made yet."""
    return [_open_refund(row) for row in await connection.fetch(_SQL.open_refunds, limit)]


async def open_refund_of(connection: Connection, refund_id: UUID) -> OpenRefund | None:
    """Return a transfer back that nobody has made yet."""
    row = await connection.fetchrow(_SQL.open_refund_of, refund_id)
    return _open_refund(row) if row else None


async def open_intents_of(connection: Connection, amount: Money, limit: int) -> list[OpenIntent]:
    """Return the newest intents that wait for exactly this amount."""
    rows = await connection.fetch(_SQL.open_intents_of, amount.minor, amount.currency.code, limit)
    return [OpenIntent(row["reference"], row["order_id"], row["user_id"], row["created_at"]) for row in rows]


async def open_refund(connection: Connection, refund_id: UUID, of: Intent, amount: Money) -> None:
    """Insert a transfer back of a locked intent."""
    await connection.execute(
        _SQL.open_refund, refund_id, of.payment_id, of.reference, amount.minor, amount.currency.code
    )


async def refund(connection: Connection, refund_id: UUID, *, lock: bool = False) -> LedgerRefund | None:
    """Return a transfer back. `lock` holds it until the transaction ends."""
    row = await connection.fetchrow(_SQL.lock_refund if lock else _SQL.refund, refund_id)
    return _refund(row) if row else None


async def refunds_of(connection: Connection, reference: str) -> list[LedgerRefund]:
    """Return all transfers back of an intent."""
    return [_refund(row) for row in await connection.fetch(_SQL.refunds_of, reference)]


async def end_refund(connection: Connection, refund_id: UUID, status: RefundStatus, failure: str) -> LedgerRefund:
    """Record the result of a locked transfer back."""
    return _refund(await connection.fetchrow(_SQL.end_refund, refund_id, status.value, failure))


def _open_refund(row: Any) -> OpenRefund:
    return OpenRefund(
        row["refund_id"], row["payment_id"], row["order_id"], row["user_id"], _amount(row), row["created_at"]
    )


def _known(row: Any) -> KnownTransfer:
    return KnownTransfer(
        row["transaction_id"], _amount(row), row["outcome"], row["reference"], row["booked_on"], row["text"]
    )


def _intent(row: Any) -> Intent:
    return Intent(
        reference=row["reference"],
        payment_id=row["payment_id"],
        amount=_amount(row),
        status=Status(row["status"]),
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )


def _refund(row: Any) -> LedgerRefund:
    return LedgerRefund(
        refund_id=row["refund_id"],
        payment_id=row["payment_id"],
        reference=row["reference"],
        amount=_amount(row),
        status=RefundStatus(row["status"]),
        failure=row["failure"],
        updated_at=row["updated_at"],
    )


def _amount(row: Any) -> Money:
    return Money(row["amount"], currency(row["currency"]))
