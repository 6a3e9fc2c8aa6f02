"""`refund`, `capture` and `cancel`: the same code as the API, with an idempotency key derived from the request.

Repeating a command, also by a colleague, therefore repeats the same change. To make the change a second time on
purpose, use a different key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer
from pydantic import TypeAdapter, ValidationError

from payment_service import exit_codes
from payment_service.commands import operator, output, session
from payment_service.commands.show import current, payments_named
from payment_service.config.config import ConfigError
from payment_service.contracts.api import Payment, Refund
from payment_service.db import operations, payment_reads, refund_reads
from payment_service.domain.ids import operation_id
from payment_service.domain.money import parse
from payment_service.domain.refund import RefundStatus
from payment_service.flows.requests.cancel import Cancellations
from payment_service.flows.requests.capture import Captures
from payment_service.flows.requests.refund import Refunds, RefundTerms
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.http.bodies import Line, Metadata
from payment_service.provider.port import Kind
from payment_service_events.currency import currency
from payment_service_events.money import MoneyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.flows.requests.idempotency import ChangeRequest, ChangeResult
    from payment_service.flows.state.context import Context

# Enough to notice a colleague's earlier refund.
_EARLIER_MAX: Final = 5
_FAILED: Final = frozenset({RefundStatus.FAILED.value, RefundStatus.CANCELED.value})


def refund(
    name: str, amount: str | None, reason: str, metadata: Sequence[str], key: str, *, yes: bool, as_json: bool
) -> None:
    """Refund a payment: the remaining amount, or an amount as decimal text."""
    reason, kept = _line("--reason", reason), _metadata(metadata)

    async def work(context: Context) -> Refund:
        payment = await _find_payment(context, name)
        wanted = RefundTerms(amount=_normal_amount(payment, amount), reason=reason, metadata=kept)
        change_request = _change_request(
            "refund",
            payment.id,
            {"amount": wanted.amount, "reason": reason, "metadata": kept},
            key,
            wanted.amount or "rest",
        )
        refund_id = operation_id(payment.id, Kind.REFUND, operator.CLIENT, change_request.key)
        if await refund_reads.refund(context.pool, refund_id) is None:
            await _print_earlier(context, payment.id)
            what = f"{wanted.amount} {payment.currency}" if wanted.amount else "the remaining amount"
            session.confirm(f"Refund {what} of {_summary(payment)}?", yes=yes)
        await _request(Refunds(context).request(payment.id, wanted, change_request), change_request, payment.id)
        row = await refund_reads.refund(context.pool, refund_id)
        return Refund.model_validate(row)

    made = session.run_change(work)
    _show(made, ("id", "payment_id", "status", "amount", "currency", "reason", "failure_code"), as_json=as_json)
    if made.status in _FAILED:
        output.print_note("The refund failed and returned no money. To try another, use a different --key.")
        raise typer.Exit(exit_codes.FAILED)


def capture(name: str, amount: str | None, key: str, *, yes: bool, as_json: bool) -> None:
    """Capture the authorized amount or less, as decimal text. The rest is released."""

    async def work(context: Context) -> Payment:
        payment = await _find_payment(context, name)
        wanted = _normal_amount(payment, amount)
        change_request = _change_request("capture", payment.id, {"amount": wanted}, key, wanted or "all")
        if not await _was_requested(context, payment.id, Kind.CAPTURE, change_request):
            what = f"{wanted} {payment.currency}, and release the rest," if wanted else "the whole authorized amount"
            session.confirm(f"Capture {what} of {_summary(payment)}?", yes=yes)
        await _request(Captures(context).request(payment.id, wanted, change_request), change_request, payment.id)
        return await _read(context, payment.id)

    _show_payment(session.run_change(work), as_json=as_json)


def cancel(name: str, reason: str, key: str, *, yes: bool, as_json: bool) -> None:
    """Cancel an unpaid payment. An authorization is released, and the payment cannot be paid any more."""
    reason = _line("--reason", reason)

    async def work(context: Context) -> Payment:
        payment = await _find_payment(context, name)
        change_request = _change_request("cancel", payment.id, {"reason": reason}, key)
        if not await _was_requested(context, payment.id, Kind.CANCEL, change_request):
            session.confirm(f"Cancel {_summary(payment)}?", yes=yes)
        await _request(Cancellations(context).request(payment.id, reason, change_request), change_request, payment.id)
        return await _read(context, payment.id)

    _show_payment(session.run_change(work), as_json=as_json)


async def _find_payment(context: Context, name: str) -> Payment:
    """Return the payment: of an order's payments, the one that did not end unpaid, else the newest. Raises Refusal."""
    return current(await payments_named(context.pool, name))


async def _print_earlier(context: Context, payment_id: UUID) -> None:
    """Show earlier refunds of the payment, by any client."""
    for row in await refund_reads.refunds(context.pool, payment_id, after=None, limit=_EARLIER_MAX):
        one = Refund.model_validate(row)
        output.print_note(
            f"Earlier: {one.amount} {one.currency}, {one.status}, {output.plain(one.created_at)} {one.reason}".rstrip()
        )


async def _read(context: Context, payment_id: UUID) -> Payment:
    row = await payment_reads.payment(context.pool, payment_id)
    return Payment.model_validate(row)


async def _was_requested(context: Context, payment_id: UUID, kind: Kind, change_request: ChangeRequest) -> bool:
    """Return True if the change was requested before, so that it needs no confirmation."""
    name = operation_id(payment_id, kind, operator.CLIENT, change_request.key)
    async with context.pool.acquire() as connection:
        return await operations.request_of(connection, name) is not None


async def _request(change: Any, change_request: ChangeRequest, payment_id: UUID) -> None:
    """Request the change, and print how to repeat it and how to follow it. Raises Refusal."""
    try:
        answer: ChangeResult = await change
    except Refusal as refusal:
        if refusal.reason is not RefusalReason.KEY_MISMATCH:
            raise
        message = f"The key {change_request.key} was used for a different change of this payment (see `show {payment_id}`): use --key with a new key."
        raise Refusal(RefusalReason.KEY_MISMATCH, message) from None
    output.print_key(change_request, answer)
    output.print_note(f"Follow it with: payment-service show {payment_id}")


def _change_request(action: str, payment_id: UUID, asked: dict[str, Any], key: str, *subject: str) -> ChangeRequest:
    """Build the request. Without a key, derive one from the request."""
    meant = {name: value for name, value in asked.items() if value is not None}
    name = session.read_key(key) if key else session.derived_key(action, payment_id, *subject)
    return session.change_request(action, meant, key=name, payment_id=payment_id)


def _normal_amount(payment: Payment, text: str | None) -> str | None:
    """Return an amount with all of its currency's decimals, so that 5 and 5.00 get the same key. Raises Refusal."""
    try:
        return None if text is None else parse(text, currency(payment.currency)).decimal_text
    except MoneyError as error:
        raise Refusal(RefusalReason.INVALID, f"AMOUNT: {error}") from None


def _line(option: str, text: str) -> str:
    try:
        return TypeAdapter(Line).validate_python(text)
    except ValidationError:
        raise ConfigError(f"{option} takes one line of at most 200 characters, without card numbers.") from None


def _metadata(pairs: Sequence[str]) -> dict[str, str]:
    found = dict(pair.partition("=")[::2] for pair in pairs)
    try:
        if len(found) != len(pairs) or not all("=" in pair for pair in pairs):
            raise ConfigError("--metadata takes NAME=VALUE, each name once.")
        return TypeAdapter(Metadata).validate_python(found)
    except ValidationError:
        message = "--metadata takes up to 50 NAME=VALUE: names of 40 printable ASCII characters, values of 200 on one line; no card numbers."
        raise ConfigError(message) from None


def _summary(payment: Payment) -> str:
    sums = (
        f"{payment.amount_captured} of {payment.amount} {payment.currency} captured, {payment.amount_refunded} refunded"
    )
    return f"order {output.plain(payment.order_id)} (payment {payment.id}, {payment.status}, {sums})"


def _show_payment(payment: Payment, *, as_json: bool) -> None:
    _show(payment, ("id", "order_id", "status", "amount", "amount_captured", "currency"), as_json=as_json)


def _show(model: Payment | Refund, fields: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        output.print_json(model)
    else:
        output.print_fields(model, *fields)
