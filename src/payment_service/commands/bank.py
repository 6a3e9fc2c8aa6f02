"""`bank`: what an operator tells of transfers, in and back, for payments by bank transfer."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Final

import structlog

from payment_service.bank_transfer import ledger
from payment_service.bank_transfer.events import PROVIDER
from payment_service.bank_transfer.provider import BankTransfer
from payment_service.bank_transfer.references import find_references
from payment_service.bank_transfer.statement import (
    BadLine,
    Outgoing,
    read_statement,
    read_transfer,
)
from payment_service.commands import screen, session
from payment_service.commands.settings import CommandSettings
from payment_service.config.config import BankTransferSettings, ConfigError
from payment_service.contracts.operators import Statement, StatementLine
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.flows.operators.bank_transfers import TransferOutcome, Transfers
from payment_service.flows.state.context import Context
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider.plugins import ProviderContext
from payment_service.provider.providers import Providers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from payment_service.bank_transfer.statement import Transfer
    from payment_service.db.pool import Pool

log = structlog.get_logger(__name__)

# What makes an import fail, so that a job that runs it is looked at; everything else was taken, or is parked and counted.
_NOT_TAKEN: Final = frozenset({"bad", TransferOutcome.CONTRADICTED.value})
STANDARD_INPUT: Final = "-"
# Announced as the code of payments.refund_failed, beside what other providers say.
_FAILURE: Final = re.compile(r"[a-z0-9_]{1,100}")


def import_statement(path: str, *, as_json: bool) -> bool:
    """Take every transfer of a statement; tell of each line, and give whether all could be taken."""
    settings = CommandSettings.from_environment()
    with _open(path) as file:
        told = session.run(lambda pool: _import(pool, settings, file), settings)
    statement = Statement(data=told)
    if as_json:
        screen.show_json(statement)
    else:
        _show(told)
    return not any(line.became in _NOT_TAKEN for line in told)


def confirm(name: str, *, transaction: str, amount: str, currency: str, booked_on: str, as_json: bool) -> bool:
    """Take one transfer on an operator's word: the money that a payment (its order, id or reference) asked for, unless said otherwise."""
    settings = CommandSettings.from_environment()

    async def work(pool: Pool) -> StatementLine:
        asked = await ledger.asked_for(pool, _reference_in(name) or name)
        if asked is None:
            raise Refusal(RefusalReason.NOT_FOUND, "No payment by bank transfer has this order, id or reference.")
        today = datetime.now(UTC).date()
        row = {
            "booking_date": booked_on or today.isoformat(),
            "amount": amount or asked.amount.decimal_text,
            "currency": currency or asked.amount.currency.code,
            "reference": asked.reference,
            "transaction_id": transaction,
        }
        return await _take(_transfers(pool, settings), None, read_transfer(row, today=today))

    line = session.run(work, settings)
    if as_json:
        screen.show_json(line)
    else:
        _show([line])
    return line.became not in _NOT_TAKEN


def end_refund(refund_id: UUID, *, failure: str) -> None:
    """Note that a transfer back was made, or that it failed, and why. Raises ConfigError, Refusal."""
    if failure and not _FAILURE.fullmatch(failure):
        raise ConfigError("--failed takes one word of small letters, digits and _, such as account_closed.")
    settings = CommandSettings.from_environment()
    session.run(
        lambda pool: _transfers(pool, settings).end_refund(refund_id, session.actor(), failure=failure), settings
    )
    screen.say(f"{refund_id} is noted as {'failed' if failure else 'transferred back'}.")


async def _import(pool: Pool, settings: CommandSettings, lines: Iterable[bytes]) -> list[StatementLine]:
    transfers = _transfers(pool, settings)
    told: list[StatementLine] = []
    for found in read_statement(lines, today=datetime.now(UTC).date()):
        match found:
            case BadLine(number=number, problem=problem):
                told.append(StatementLine(line=number, became="bad", reason=problem))
            case Outgoing(number=number):
                told.append(StatementLine(line=number, became="outgoing"))
            case (number, transfer):
                told.append(await _take(transfers, number, transfer))
    return told


async def _take(transfers: Transfers, number: int | None, transfer: Transfer) -> StatementLine:
    try:
        taken = await transfers.take(transfer, session.actor())
    except TRANSIENT_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - one line that trips the database must not stop the others
        log.error("transfer_not_taken", transaction_id=transfer.transaction_id, error=type(error).__name__)
        reason = f"the database refused it ({type(error).__name__}): report this as a defect"
        return StatementLine(line=number, transaction_id=transfer.transaction_id, became="bad", reason=reason)
    return StatementLine(
        line=number,
        transaction_id=transfer.transaction_id,
        became=taken.outcome.value,
        payment_id=taken.payment_id,
        reference=taken.reference,
        reason=taken.reason,
    )


def _transfers(pool: Pool, settings: CommandSettings) -> Transfers:
    if PROVIDER not in settings.providers:
        raise ConfigError(f"PROVIDERS does not name {PROVIDER}: nobody can pay by bank transfer here.")
    provider_context = ProviderContext(
        deployment=settings.deployment,
        now_s=lambda: datetime.now(UTC).timestamp(),
        timeout_s=settings.provider_timeout_s,
        concurrency=1,
        pool=pool,
    )
    provider = BankTransfer(BankTransferSettings.from_environment(), provider_context)
    context = Context(
        pool=pool,
        providers=Providers({PROVIDER: provider}),
        deployment=settings.deployment,
        now=lambda: datetime.now(UTC),
    )
    return Transfers(pool=pool, webhooks=Webhooks(context), account=provider.account)


def _open(path: str) -> IO[bytes]:
    return sys.stdin.buffer if path == STANDARD_INPUT else open(path, "rb")  # noqa: PTH123 - the caller closes either


def _reference_in(name: str) -> str:
    return next(iter(find_references(name)), "")


def _show(lines: list[StatementLine]) -> None:
    """Show what needs a look, line by line; of the rest, how much there is."""
    fields = ("line", "transaction_id", "became", "payment_id", "reason")
    quiet = {TransferOutcome.KNOWN.value, "outgoing"}
    screen.show_table(
        "Transfers", fields, ([getattr(line, name) for name in fields] for line in lines if line.became not in quiet)
    )
    counts = {became: sum(line.became == became for line in lines) for became in sorted({one.became for one in lines})}
    screen.say(", ".join(f"{count} {became}" for became, count in counts.items()) or "There are no transfers in it.")
