"""`bank`: import statements, confirm transfers, and record refunds by transfer."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Final

import structlog

from payment_service.bank_transfer import ledger
from payment_service.bank_transfer.contracts import Statement, StatementLine
from payment_service.bank_transfer.events import PROVIDER
from payment_service.bank_transfer.provider import BankTransfer
from payment_service.bank_transfer.references import find_references
from payment_service.bank_transfer.settings import BankTransferSettings
from payment_service.bank_transfer.statement import (
    BadLine,
    Outgoing,
    read_statement,
    read_transfer,
)
from payment_service.bank_transfer.transfers import TransferOutcome, Transfers
from payment_service.commands import operator, output, session
from payment_service.commands.settings import CommandSettings
from payment_service.config.config import ConfigError
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.domain.guard import clean
from payment_service.flows.state.context import Context
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider.plugins import ProviderContext
from payment_service.provider.providers import Providers
from payment_service.telemetry.errors import describe_error

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from payment_service.bank_transfer.statement import Transfer
    from payment_service.db.pool import Pool

log = structlog.get_logger(__name__)

# Results that make an import fail, so that an operator looks at the job. Others were imported, or are parked and
# counted.
_NOT_IMPORTED: Final = frozenset({"bad", TransferOutcome.CONTRADICTED.value})
STANDARD_INPUT: Final = "-"
# Published as the code of payments.refund_failed, beside other providers' codes.
_FAILURE: Final = re.compile(r"[a-z0-9_]{1,100}")


def import_statement(path: str, *, as_json: bool) -> bool:
    """Import every transfer of a statement, print each line, and return True if all could be imported."""
    settings = CommandSettings.from_environment()
    with _open(path) as file:
        lines = session.run(lambda pool: _import(pool, settings, file), settings)
    statement = Statement(data=lines)
    if as_json:
        output.print_json(statement)
    else:
        _show(lines)
    return not any(line.result in _NOT_IMPORTED for line in lines)


def confirm(name: str, *, transaction: str, amount: str, currency: str, booked_on: str, as_json: bool) -> bool:
    """Record one transfer for a payment, found by order, id or reference. The amount due is the default."""
    settings = CommandSettings.from_environment()

    async def work(pool: Pool) -> StatementLine:
        asked = await ledger.asked_for(pool, _reference_in(name) or name)
        if asked is None:
            raise Refusal(
                RefusalReason.NOT_FOUND,
                "No payment by bank transfer has this order, id or reference: check it with `payment-service show`.",
            )
        today = datetime.now(UTC).date()
        row = {
            "booking_date": booked_on or today.isoformat(),
            "amount": amount or asked.amount.decimal_text,
            "currency": currency or asked.amount.currency.code,
            "reference": asked.reference,
            "transaction_id": transaction,
        }
        return await _import_transfer(await _transfers(pool, settings), None, read_transfer(row, today=today))

    line = session.run(work, settings)
    if as_json:
        output.print_json(line)
    else:
        _show([line])
    return line.result not in _NOT_IMPORTED


def end_refund(refund_id: UUID, *, failure: str) -> None:
    """Record that a refund was transferred, or why it failed. Raises ConfigError, Refusal."""
    if failure and (not _FAILURE.fullmatch(failure) or clean(failure) != failure):
        raise ConfigError("--failed takes one word of lower-case letters, digits and _, such as account_closed.")
    settings = CommandSettings.from_environment()

    async def work(pool: Pool) -> None:
        transfers = await _transfers(pool, settings)
        await transfers.end_refund(refund_id, operator.actor(), failure=failure)

    session.run(work, settings)
    output.print_note(f"Refund {refund_id} is recorded as {'failed' if failure else 'transferred'}.")


async def _import(pool: Pool, settings: CommandSettings, file: Iterable[bytes]) -> list[StatementLine]:
    transfers = await _transfers(pool, settings)
    lines: list[StatementLine] = []
    for found in read_statement(file, today=datetime.now(UTC).date()):
        match found:
            case BadLine(number=number, problem=problem):
                lines.append(StatementLine(line=number, result="bad", reason=problem))
            case Outgoing(number=number):
                lines.append(StatementLine(line=number, result="outgoing"))
            case (number, transfer):
                lines.append(await _import_transfer(transfers, number, transfer))
    return lines


async def _import_transfer(transfers: Transfers, number: int | None, transfer: Transfer) -> StatementLine:
    try:
        taken = await transfers.take(transfer, operator.actor())
    except TRANSIENT_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - one line that trips the database must not stop the others
        log.error("transfer_not_taken", transaction_id=transfer.transaction_id, error=describe_error(error))
        reason = f"PostgreSQL refused it: {describe_error(error)}; report this as a defect"
        return StatementLine(line=number, transaction_id=transfer.transaction_id, result="bad", reason=reason)
    return StatementLine(
        line=number,
        transaction_id=transfer.transaction_id,
        result=taken.outcome.value,
        payment_id=taken.payment_id,
        reference=taken.reference,
        reason=taken.reason,
    )


async def _transfers(pool: Pool, settings: CommandSettings) -> Transfers:
    if PROVIDER not in settings.providers:
        raise ConfigError(f"PROVIDERS does not contain {PROVIDER}: add it to accept bank transfers.")
    clock = await session.measured_clock(pool)
    provider_context = ProviderContext(
        deployment=settings.deployment,
        now_s=lambda: clock.now().timestamp(),
        timeout_s=settings.provider_timeout_s,
        concurrency=1,
        pool=pool,
    )
    provider = BankTransfer(BankTransferSettings.from_environment(), provider_context)
    context = Context(
        pool=pool,
        providers=Providers({PROVIDER: provider}),
        deployment=settings.deployment,
        now=clock.now,
    )
    return Transfers(pool=pool, webhooks=Webhooks(context), account=provider.account)


def _open(path: str) -> IO[bytes]:
    return sys.stdin.buffer if path == STANDARD_INPUT else open(path, "rb")  # noqa: PTH123 - the caller closes either


def _reference_in(name: str) -> str:
    return next(iter(find_references(name)), "")


def _show(lines: list[StatementLine]) -> None:
    """Print the lines that need a look, and the number of lines by result."""
    fields = ("line", "transaction_id", "result", "payment_id", "reason")
    quiet = {TransferOutcome.KNOWN.value, "outgoing"}
    output.print_table(
        "Transfers", fields, ([getattr(line, name) for name in fields] for line in lines if line.result not in quiet)
    )
    counts = {result: sum(line.result == result for line in lines) for result in sorted({one.result for one in lines})}
    output.print_note(
        ", ".join(f"{count} {result}" for result, count in counts.items()) or "The statement contains no transfers."
    )
