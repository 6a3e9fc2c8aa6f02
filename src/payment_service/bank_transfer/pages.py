"""The operators' pages for bank transfers: import a statement, assign or close what names no payment, and record transfers back.

They call the flows of the `bank` commands. The ledger counts each transaction and each transfer back once, so a form that
is sent twice changes nothing more.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from payment_service.bank_transfer import events, ledger
from payment_service.bank_transfer.imports import NOT_IMPORTED, import_lines, preview_lines
from payment_service.bank_transfer.references import find_references
from payment_service.bank_transfer.statement import COLUMNS, StatementRefused, Transfer
from payment_service.bank_transfer.transfers import Preview, TransferOutcome, Transfers, is_failure_code
from payment_service.db import payment_reads
from payment_service.flows.operators.attention import AttentionItems, OperatorClaim
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.pages.forms import line
from payment_service.pages.permissions import Permission
from payment_service.pages.table import PageRoute, ProviderPages, Section

if TYPE_CHECKING:
    from datetime import date

    from starlette.responses import Response

    from payment_service.bank_transfer.ledger import KnownTransfer
    from payment_service.bank_transfer.provider import BankTransfer
    from payment_service.db.pool import Connection
    from payment_service.pages.site import Visit

# A day of a busy shop. A page imports it within seconds; `payment-service bank import` takes any length.
STATEMENT_LINES_MAX: Final = 1_000
# That many lines of 250 bytes.
STATEMENT_LIMIT_BYTES: Final = 262_144
# The statement as base64, which has a third more, and the other fields.
_BODY_LIMIT_BYTES: Final = 2 * STATEMENT_LIMIT_BYTES
# The oldest of each list. A longer list is the work of days, which becomes shorter from its beginning.
_SHOWN_MAX: Final = 100
_SUGGESTED_MAX: Final = 10


async def overview(visit: Visit) -> Response:
    """Show open work: transfers that name no payment, and transfers back to make."""
    async with visit.parts.reads.acquire() as connection:
        unmatched = await ledger.unmatched(connection, _account(visit), _SHOWN_MAX)
        refunds = await ledger.open_refunds(connection, _SHOWN_MAX)
    return visit.page(
        "bank.html",
        section="bank",
        unmatched=unmatched,
        refunds=refunds,
        account=_account(visit),
        columns=COLUMNS,
        shown=_SHOWN_MAX,
        lines_max=STATEMENT_LINES_MAX,
    )


async def preview(visit: Visit) -> Response:
    """Show what the import of a statement would do. Nothing is stored."""
    lines = _statement(visit)
    async with visit.parts.reads.acquire() as connection:
        results = await preview_lines(connection, _account(visit), lines, today=_today(visit))
    counts = Counter(one.result for one in results)
    return visit.page(
        "bank_lines.html", section="bank", lines=results, counts=counts, statement=visit.form["statement"], done=False
    )


async def import_statement(visit: Visit) -> Response:
    """Import the statement of the preview, line by line, and show the result of each line."""
    results = await import_lines(_transfers(visit), _statement(visit), visit.actor(), today=_today(visit))
    visit.parts.context.wake()
    counts = Counter(one.result for one in results)
    failed = any(one.result in NOT_IMPORTED for one in results)
    return visit.page("bank_lines.html", section="bank", lines=results, counts=counts, done=True, failed=failed)


async def show_transfer(visit: Visit) -> Response:
    """Show an unmatched transfer, the open payments of its amount, and what a person may decide."""
    return await _transfer_page(visit, visit.query("id"))


async def assign(visit: Visit) -> Response:
    """Ask whether a transfer pays a payment; after a confirmation, record it."""
    name = visit.form.get("id", "")
    try:
        transfer, intent = await _assignment(visit, name)
        if visit.form.get("confirmed") != "yes":
            return await _ask_to_assign(visit, transfer, intent)
        line(visit.form, "reason", "Reason", needed=True)
        result = await _transfers(visit).take(transfer, visit.actor())
    except Refusal as refusal:
        return await _transfer_page(visit, name, refusal)
    visit.parts.context.wake()
    done = "bank_parked" if result.outcome is TransferOutcome.PARKED else "bank_assigned"
    return visit.redirect(f"/payments/{intent.payment_id}", done)


async def close(visit: Visit) -> Response:
    """Close a transfer that belongs to no payment, for example after it was transferred back."""
    name = visit.form.get("id", "")
    try:
        item = await AttentionItems(visit.parts.context).find(f"{_account(visit)}:{name}")
        note = line(visit.form, "note", "What became of the money", needed=True)
        asked = {"what": item.what, "id": item.name, "owner": item.owner, "truth": "close", "note": note}
        claim = OperatorClaim(what="close", provider_id="", note=note)
        await AttentionItems(visit.parts.context).resolve(item, claim, visit.change("attention.resolve", asked))
    except Refusal as refusal:
        return await _transfer_page(visit, name, refusal)
    return visit.redirect("/bank", "bank_closed")


async def show_refund(visit: Visit) -> Response:
    """Show a transfer back to make, and ask for its result."""
    return await _refund_page(visit)


async def end_refund(visit: Visit) -> Response:
    """Record that a transfer back was made, or why it failed."""
    failure = ""
    try:
        if visit.form.get("result") not in {"made", "failed"}:
            raise Refusal(RefusalReason.INVALID, "Choose whether the transfer was made.")
        if visit.form["result"] == "failed":
            failure = visit.form.get("failure", "").strip()
            if not is_failure_code(failure):
                message = "Why it failed: write one word of lower-case letters, digits and _, such as account_closed."
                raise Refusal(RefusalReason.INVALID, message)
        await _transfers(visit).end_refund(_refund_id(visit), visit.actor(), failure=failure)
    except Refusal as refusal:
        return await _refund_page(visit, refusal)
    visit.parts.context.wake()
    return visit.redirect("/bank", "bank_failed" if failure else "bank_made")


async def _assignment(visit: Visit, name: str) -> tuple[Transfer, events.Intent]:
    """Return the unmatched transfer with the reference of the payment that a person names. Raises Refusal."""
    asked = line(visit.form, "payment", "Order, payment or reference")
    async with visit.parts.reads.acquire() as connection:
        known = await _find(visit, connection, name)
        intent = await ledger.asked_for(connection, next(iter(find_references(asked)), asked)) if asked else None
    if known is None:
        raise Refusal(RefusalReason.NOT_FOUND, "There is no transfer with this id.")
    if intent is None:
        message = "No payment by bank transfer has this order, id or reference: copy it from the payment's page."
        raise Refusal(RefusalReason.NOT_FOUND, message)
    if known.outcome != events.UNMATCHED and known.reference != intent.reference:
        raise Refusal(RefusalReason.NOT_ALLOWED, "Somebody has assigned or closed this transfer already.")
    return Transfer(transaction_id=name, amount=known.amount, booked_on=known.booked_on, text=intent.reference), intent


async def _ask_to_assign(visit: Visit, transfer: Transfer, intent: events.Intent) -> Response:
    async with visit.parts.reads.acquire() as connection:
        expected = await Preview(connection, _account(visit)).take(transfer)
        payment = await payment_reads.payment(connection, intent.payment_id)
    return visit.page(
        "bank_assign.html", section="bank", transfer=transfer, intent=intent, payment=payment, expected=expected
    )


async def _transfer_page(visit: Visit, name: str, refusal: Refusal | None = None) -> Response:
    async with visit.parts.reads.acquire() as connection:
        known = await _find(visit, connection, name)
        if known is None or known.outcome != events.UNMATCHED:
            raise refusal or Refusal(RefusalReason.NOT_FOUND, "This transfer is not unmatched any more.")
        suggested = await ledger.open_intents_of(connection, known.amount, _SUGGESTED_MAX)
    return visit.page(
        "bank_transfer.html",
        section="bank",
        status=HTTPStatus.OK if refusal is None else HTTPStatus.CONFLICT,
        problem=str(refusal) if refusal else None,
        id=name,
        transfer=known,
        suggested=suggested,
        entered=visit.form,
    )


async def _refund_page(visit: Visit, refusal: Refusal | None = None) -> Response:
    async with visit.parts.reads.acquire() as connection:
        refund = await ledger.open_refund_of(connection, _refund_id(visit))
    if refund is None:
        raise refusal or Refusal(RefusalReason.NOT_FOUND, "This transfer back is not open any more.")
    return visit.page(
        "bank_refund.html",
        section="bank",
        status=HTTPStatus.OK if refusal is None else HTTPStatus.CONFLICT,
        problem=str(refusal) if refusal else None,
        refund=refund,
        entered=visit.form,
    )


async def _find(visit: Visit, connection: Connection, name: str) -> KnownTransfer | None:
    """Return a transfer by the bank's id. PostgreSQL takes no text with a null character."""
    return await ledger.transfer(connection, _account(visit), name) if name.isprintable() else None


def _statement(visit: Visit) -> list[bytes]:
    """Return the lines of the uploaded statement. Raises StatementRefused."""
    try:
        content = b64decode(visit.form.get("statement", ""), validate=True)
    except (binascii.Error, ValueError):
        raise StatementRefused("The form cannot be read: choose the file again.") from None
    lines = content.splitlines(keepends=True)
    if len(content) > STATEMENT_LIMIT_BYTES or len(lines) > STATEMENT_LINES_MAX:
        message = (
            f"A page takes at most {STATEMENT_LINES_MAX} lines and {STATEMENT_LIMIT_BYTES} bytes: split the file, or use "
            "`payment-service bank import`, which takes any length."
        )
        raise StatementRefused(message)
    return lines


def _provider(visit: Visit) -> BankTransfer:
    return cast("BankTransfer", visit.parts.context.providers.by_name[events.PROVIDER])


def _account(visit: Visit) -> str:
    return _provider(visit).account


def _transfers(visit: Visit) -> Transfers:
    context = visit.parts.context
    return Transfers(pool=context.pool, webhooks=Webhooks(context), account=_account(visit))


def _refund_id(visit: Visit) -> UUID:
    return UUID(str(visit.request.path_params["id"]))


def _today(visit: Visit) -> date:
    return visit.parts.context.now().date()


_REFUND: Final = "/bank/refunds/{id:uuid}"

PAGES: Final = ProviderPages(
    sections=(Section("bank", "/bank", "Bank", Permission.BANK),),
    routes=(
        PageRoute("GET", "/bank", Permission.BANK, overview),
        PageRoute("POST", "/bank/preview", Permission.BANK, preview, _BODY_LIMIT_BYTES),
        PageRoute("POST", "/bank/import", Permission.BANK, import_statement, _BODY_LIMIT_BYTES),
        PageRoute("GET", "/bank/transfer", Permission.BANK, show_transfer),
        PageRoute("POST", "/bank/assign", Permission.BANK, assign),
        PageRoute("POST", "/bank/close", Permission.BANK, close),
        PageRoute("GET", _REFUND, Permission.BANK, show_refund),
        PageRoute("POST", _REFUND, Permission.BANK, end_refund),
    ),
    templates=Path(__file__).parent / "templates",
    notes={
        "bank_assigned": "The transfer is assigned. The payment is paid.",
        "bank_parked": "The transfer is assigned, but it does not match this payment: see Needs attention.",
        "bank_closed": "The transfer is closed.",
        "bank_made": "The refund is recorded as transferred.",
        "bank_failed": "The refund is recorded as failed. The amount can be refunded again.",
    },
)
