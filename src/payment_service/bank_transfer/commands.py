"""`bank`: import statements, confirm transfers, and record refunds by transfer."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Final

from payment_service.bank_transfer import ledger
from payment_service.bank_transfer.contracts import Statement, StatementLine
from payment_service.bank_transfer.events import PROVIDER
from payment_service.bank_transfer.imports import NOT_IMPORTED, import_lines, import_transfer
from payment_service.bank_transfer.provider import BankTransfer
from payment_service.bank_transfer.references import find_references
from payment_service.bank_transfer.settings import BankTransferSettings
from payment_service.bank_transfer.statement import read_transfer
from payment_service.bank_transfer.transfers import TransferOutcome, Transfers, is_failure_code
from payment_service.commands import operator, output, session
from payment_service.commands.settings import CommandSettings
from payment_service.config.config import ConfigError
from payment_service.flows.state.context import Context
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider.plugins import ProviderContext
from payment_service.provider.providers import Providers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from uuid import UUID

    from payment_service.db.pool import Pool

STANDARD_INPUT: Final = "-"


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
    return not any(line.result in NOT_IMPORTED for line in lines)


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
        today = await _today(pool)
        row = {
            "booking_date": booked_on or today.isoformat(),
            "amount": amount or asked.amount.decimal_text,
            "currency": currency or asked.amount.currency.code,
            "reference": asked.reference,
            "transaction_id": transaction,
        }
        transfers = await _transfers(pool, settings)
        return await import_transfer(transfers, None, read_transfer(row, today=today), operator.actor())

    line = session.run(work, settings)
    if as_json:
        output.print_json(line)
    else:
        _show([line])
    return line.result not in NOT_IMPORTED


def end_refund(refund_id: UUID, *, failure: str) -> None:
    """Record that a refund was transferred, or why it failed. Raises ConfigError, Refusal."""
    if failure and not is_failure_code(failure):
        raise ConfigError("--failed takes one word of lower-case letters, digits and _, such as account_closed.")
    settings = CommandSettings.from_environment()

    async def work(pool: Pool) -> None:
        transfers = await _transfers(pool, settings)
        await transfers.end_refund(refund_id, operator.actor(), failure=failure)

    session.run(work, settings)
    output.print_note(f"Refund {refund_id} is recorded as {'failed' if failure else 'transferred'}.")


async def _import(pool: Pool, settings: CommandSettings, file: Iterable[bytes]) -> list[StatementLine]:
    transfers = await _transfers(pool, settings)
    return await import_lines(transfers, file, operator.actor(), today=await _today(pool))


async def _today(pool: Pool) -> date:
    """Return today by the clock of the database: a booking in the future is refused."""
    return (await session.measured_clock(pool)).now().date()


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
