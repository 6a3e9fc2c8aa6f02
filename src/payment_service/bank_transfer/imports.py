"""Import the transfers of a statement line by line, or say beforehand what an import would do. A bad line affects no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from payment_service.bank_transfer.contracts import StatementLine
from payment_service.bank_transfer.statement import BadLine, Outgoing, read_statement
from payment_service.bank_transfer.transfers import Preview, TransferOutcome
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.telemetry.errors import describe_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import date

    from payment_service.bank_transfer.statement import Transfer
    from payment_service.bank_transfer.transfers import TransferResult, Transfers
    from payment_service.db.audit import Actor
    from payment_service.db.pool import Connection

log = structlog.get_logger(__name__)

# Results that make an import fail, so that an operator looks at it. Others were imported, or are parked and counted.
NOT_IMPORTED = frozenset({"bad", TransferOutcome.CONTRADICTED.value})


async def import_lines(
    transfers: Transfers, lines: Iterable[bytes], actor: Actor, *, today: date
) -> list[StatementLine]:
    """Import every transfer. Raise StatementRefused, and TRANSIENT_ERRORS: import the statement again then."""

    async def take(number: int | None, transfer: Transfer) -> StatementLine:
        return await import_transfer(transfers, number, transfer, actor)

    return await _each(lines, today, take)


async def preview_lines(
    connection: Connection, account: str, lines: Iterable[bytes], *, today: date
) -> list[StatementLine]:
    """Return what an import would do now, without storing anything. Raise StatementRefused."""
    preview = Preview(connection, account)

    async def look(number: int | None, transfer: Transfer) -> StatementLine:
        return _taken(number, transfer, await preview.take(transfer))

    return await _each(lines, today, look)


async def import_transfer(transfers: Transfers, number: int | None, transfer: Transfer, actor: Actor) -> StatementLine:
    """Import one transfer."""
    try:
        taken = await transfers.take(transfer, actor)
    except TRANSIENT_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - one line that trips the database must not stop the others
        log.error("transfer_not_taken", transaction_id=transfer.transaction_id, error=describe_error(error))
        reason = f"PostgreSQL refused it: {describe_error(error)}; report this as a defect"
        return _line(number, transfer, "bad", reason=reason)
    return _taken(number, transfer, taken)


async def _each(
    lines: Iterable[bytes], today: date, take: Callable[[int | None, Transfer], Awaitable[StatementLine]]
) -> list[StatementLine]:
    results: list[StatementLine] = []
    for found in read_statement(lines, today=today):
        match found:
            case BadLine(number=number, problem=problem):
                results.append(StatementLine(line=number, result="bad", reason=problem))
            case Outgoing(number=number):
                results.append(StatementLine(line=number, result="outgoing"))
            case (number, transfer):
                results.append(await take(number, transfer))
    return results


def _line(number: int | None, transfer: Transfer, result: str, **more: Any) -> StatementLine:
    return StatementLine(
        line=number,
        transaction_id=transfer.transaction_id,
        amount=transfer.amount.decimal_text,
        currency=transfer.amount.currency.code,
        result=result,
        **more,
    )


def _taken(number: int | None, transfer: Transfer, taken: TransferResult) -> StatementLine:
    return _line(
        number,
        transfer,
        taken.outcome.value,
        payment_id=taken.payment_id,
        reference=taken.reference,
        reason=taken.reason,
    )
