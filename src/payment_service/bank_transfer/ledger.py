"""Rows of the ledger: what was asked for, what came in, what is to go back. Each statement alone, or within the caller's transaction."""

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
    from datetime import datetime

    from payment_service.bank_transfer.statement import Transfer
    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "ledger.sql")


@dataclass(frozen=True, slots=True)
class Noted:
    """What the ledger has of a transaction: `outcome` is the type of its event, `reference` whose it is."""

    amount: Money
    outcome: str
    reference: str | None


async def open_intent(connection: Connection, reference: str, payment_id: UUID, amount: Money) -> Intent | None:
    """Ask for a payment, once; give what stands under its reference, or None where another payment's id has taken its place."""
    await connection.execute(_SQL.open_intent, reference, payment_id, amount.minor, amount.currency.code)
    return await intent(connection, reference)


async def intent(connection: Connection, reference: str, *, lock: bool = False) -> Intent | None:
    """Read an intent; `lock`: so that nobody else pays, cancels or refunds it until the transaction ends."""
    row = await connection.fetchrow(_SQL.lock_intent if lock else _SQL.intent, reference)
    return _intent(row) if row else None


async def asked_for(connection: Connection | Pool, name: str) -> Intent | None:
    """Find an intent by its reference, its payment's id or its order's; of several payments of an order, the last."""
    try:
        payment_id = UUID(name)
    except ValueError:
        payment_id = None
    row = await connection.fetchrow(_SQL.asked_for, name, payment_id)
    return _intent(row) if row else None


async def intents_between(connection: Connection, begin: datetime, end: datetime, limit: int) -> list[Intent]:
    """List intents by the time at which they were asked for, at most `limit`."""
    return [_intent(row) for row in await connection.fetch(_SQL.intents_between, begin, end, limit)]


async def cancel_intent(connection: Connection, reference: str) -> Intent | None:
    """Cancel an intent unless it has ended; give it as it is now."""
    await connection.execute(_SQL.cancel_intent, reference)
    return await intent(connection, reference)


async def claim_transfer(connection: Connection, account: str, transfer: Transfer, text: str) -> bool:
    """Note a transaction of the account; False: it is known. `text`: as it may be kept."""
    amount = transfer.amount
    return (
        await connection.fetchval(
            _SQL.claim_transfer,
            account,
            transfer.transaction_id,
            amount.minor,
            amount.currency.code,
            transfer.booked_on,
            text,
        )
        is not None
    )


async def note_outcome(
    connection: Connection, account: str, transfer: Transfer, outcome: str, paid: Intent | None
) -> None:
    """Note what became of a transaction that was claimed."""
    reference = paid.reference if paid is not None else None
    await connection.execute(_SQL.note_outcome, account, transfer.transaction_id, outcome, reference)


async def pay_intent(connection: Connection, paid: Intent, transfer: Transfer) -> None:
    """Note that a locked intent has its money."""
    await connection.execute(_SQL.pay_intent, paid.reference, booked_at(transfer))


async def lock_transfer(connection: Connection, account: str, transaction_id: str) -> Noted:
    """Read what became of a transaction that is known, so that nobody else makes something of it meanwhile."""
    row: Any = await connection.fetchrow(_SQL.lock_transfer, account, transaction_id)
    return Noted(_amount(row), row["outcome"], row["reference"])


async def open_refund(connection: Connection, refund_id: UUID, of: Intent, amount: Money) -> None:
    """Note a transfer back, of an intent that is locked."""
    await connection.execute(
        _SQL.open_refund, refund_id, of.payment_id, of.reference, amount.minor, amount.currency.code
    )


async def refund(connection: Connection, refund_id: UUID, *, lock: bool = False) -> LedgerRefund | None:
    """Read a transfer back; `lock`: so that nobody else ends it."""
    row = await connection.fetchrow(_SQL.lock_refund if lock else _SQL.refund, refund_id)
    return _refund(row) if row else None


async def refunds_of(connection: Connection, reference: str) -> list[LedgerRefund]:
    """Read all transfers back of an intent."""
    return [_refund(row) for row in await connection.fetch(_SQL.refunds_of, reference)]


async def end_refund(connection: Connection, refund_id: UUID, status: RefundStatus, failure: str) -> LedgerRefund:
    """Note what became of a transfer back that is locked."""
    return _refund(await connection.fetchrow(_SQL.end_refund, refund_id, status.value, failure))


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
