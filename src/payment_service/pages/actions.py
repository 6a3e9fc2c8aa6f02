"""Actions on a payment. Each action has a page that repeats what it means, then a POST that does it once.

They call the flows of the API and the command line, with the key of the form: pressed twice is done once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog

from payment_service.db import payment_reads
from payment_service.db.clock import database_time
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.db.publishing import Selection
from payment_service.domain.money import parse
from payment_service.domain.payment import CANCELABLE, Status
from payment_service.flows.operators.republish import republish as publish_again
from payment_service.flows.requests.approvals import Approvals
from payment_service.flows.requests.cancel import Cancellations
from payment_service.flows.requests.capture import Captures
from payment_service.flows.requests.idempotency import ChangeResult, change_once
from payment_service.flows.requests.refund import Refunds, RefundTerms
from payment_service.flows.requests.refund_limits import NeedsApproval
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.pages import payment as payment_page
from payment_service.pages.forms import NOTE_MAX, line
from payment_service.pages.permissions import Permission
from payment_service.telemetry.errors import describe_error
from payment_service_events.currency import currency
from payment_service_events.money import MoneyError

if TYPE_CHECKING:
    from starlette.responses import Response

    from payment_service.contracts.api import Payment
    from payment_service.db.pool import Connection
    from payment_service.pages.site import Page, Visit

log = structlog.get_logger(__name__)

_UNKNOWN: Final = "The database did not answer, so the outcome is unknown. Press the button again: it is done once."
_PAID: Final = frozenset({"succeeded", "partially_refunded"})
_CANCELABLE: Final = frozenset(status.value for status in CANCELABLE)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action: its name in the URL, its button, what happens, and what cannot be undone.

    `reason` and `amount`: the labels of these fields; no amount field if empty. `run` returns the note of the next page.
    """

    name: str
    permission: Permission
    button: str
    tone: str
    happens: str
    final: str
    offered: Callable[[Payment], bool]
    run: Callable[[Visit, Payment], Awaitable[str]]
    reason: str
    amount: str = ""


def form_of(action: Action) -> Page:
    """Return the page that asks before the action."""

    async def ask(visit: Visit) -> Response:
        payment = await payment_page.read_payment(visit.parts.reads, visit.request.path_params["id"])
        return _page(visit, action, payment)

    return ask


def submit_of(action: Action) -> Page:
    """Return the handler that does the action, and shows its page again with the reason if it is refused."""

    async def submit(visit: Visit) -> Response:
        payment = await payment_page.read_payment(visit.parts.reads, visit.request.path_params["id"])
        try:
            line(visit.form, "reason", "Reason", needed=True)
            done = await action.run(visit, payment)
        except Refusal as refusal:
            # The request with this key may still run, so the same key must repeat it. After any other refusal nothing is stored.
            same_key = refusal.reason is RefusalReason.IN_PROGRESS
            return _page(visit, action, payment, problem=str(refusal), same_key=same_key)
        except TRANSIENT_ERRORS as error:
            log.warning("page_action_unknown", action=action.name, payment_id=payment.id, error=describe_error(error))
            return _page(visit, action, payment, problem=_UNKNOWN, same_key=True)
        return visit.redirect(f"/payments/{payment.id}", done)

    return submit


async def add_note(visit: Visit) -> Response:
    """Store a note about the payment in the audit, which is never updated."""
    payment = await payment_page.read_payment(visit.parts.reads, visit.request.path_params["id"])
    text = line(visit.form, "note", "Note", length_max=NOTE_MAX, needed=True)

    async def work(connection: Connection) -> ChangeResult:
        if not await payment_reads.exists(connection, payment.id):
            raise Refusal(RefusalReason.NOT_FOUND, "There is no payment with this id.")
        return ChangeResult({"payment_id": str(payment.id)})

    request = visit.change("note", {"note": text}, payment_id=payment.id)
    await change_once(visit.parts.context.pool, request, work)
    return visit.redirect(f"/payments/{payment.id}", "note")


def _page(
    visit: Visit, action: Action, payment: Payment, *, problem: str | None = None, same_key: bool = False
) -> Response:
    limit = None if visit.person.may(Permission.REFUND_ANY) else visit.parts.config.admin_refund_limit_minor
    return visit.page(
        "action.html",
        section="payments",
        status=HTTPStatus.OK if problem is None else HTTPStatus.CONFLICT,
        action=action,
        payment=payment,
        problem=problem,
        key=visit.form.get("key") if same_key else f"page-{uuid4()}",
        entered=visit.form,
        suggested=_suggested(action, payment),
        limit=_decimal(limit, payment) if limit is not None and action.name == "refund" else "",
    )


def _suggested(action: Action, payment: Payment) -> str:
    unit = currency(payment.currency)
    if action.name == "refund":
        rest = parse(payment.amount_captured, unit).minor - parse(payment.amount_refunded, unit).minor
        return _decimal(rest, payment)
    return payment.amount if action.amount else ""


def _decimal(minor: int, payment: Payment) -> str:
    decimals = currency(payment.currency).decimals
    whole, rest = divmod(minor, 10**decimals)
    return f"{whole}.{rest:0{decimals}d}" if decimals else str(whole)


def _amount(visit: Visit, payment: Payment) -> str:
    """Return the amount with all decimals of the currency. Raises Refusal."""
    text = visit.form.get("amount", "").strip()
    try:
        return parse(text, currency(payment.currency)).decimal_text
    except MoneyError as error:
        raise Refusal(RefusalReason.INVALID, f"Amount: {error}") from None


async def _refund(visit: Visit, payment: Payment) -> str:
    context = visit.parts.context
    amount, reason = _amount(visit, payment), line(visit.form, "reason", "Reason")
    alone = visit.person.may(Permission.REFUND_ANY)
    limit_minor = None if alone else visit.parts.config.admin_refund_limit_minor
    terms = RefundTerms(amount=amount, reason=reason, metadata={}, limit_minor=limit_minor)
    asked = {"amount": amount, "reason": reason}
    try:
        await Refunds(context).request(payment.id, terms, visit.change("refund", asked, payment_id=payment.id))
    except NeedsApproval as needed:
        request = visit.change(
            "refund.request_approval", asked, key=f"{visit.form['key']}-approval", payment_id=payment.id
        )
        await Approvals(context).request(payment.id, needed.amount, request)
        return "approval"
    return "refund"


async def _capture(visit: Visit, payment: Payment) -> str:
    amount = _amount(visit, payment)
    request = visit.change("capture", {"amount": amount}, payment_id=payment.id)
    await Captures(visit.parts.context).request(payment.id, amount, request)
    return "capture"


async def _cancel(visit: Visit, payment: Payment) -> str:
    reason = line(visit.form, "reason", "Reason")
    request = visit.change("cancel", {"reason": reason}, payment_id=payment.id)
    await Cancellations(visit.parts.context).request(payment.id, reason, request)
    return "cancel"


async def _republish(visit: Visit, payment: Payment) -> str:
    pool = visit.parts.context.pool
    request = visit.change("outbox.republish", {"payment_id": str(payment.id)}, payment_id=payment.id)
    chosen = Selection(since=_EPOCH, until=await database_time(pool), payment_id=payment.id, topic=None)
    await publish_again(pool, chosen, request)
    visit.parts.context.wake_relay()
    return "republish"


ACTIONS: Final = (
    Action(
        name="refund",
        permission=Permission.REFUND,
        button="Refund",
        tone="first",
        happens="The provider returns this amount to the customer's card or account. Banks show it within 5 to 10 days.",
        final="A refund cannot be taken back. Fees of the original payment are not returned.",
        offered=lambda payment: payment.status in _PAID,
        run=_refund,
        amount="Amount to refund",
        reason="Reason, shown in the audit and published to the shop",
    ),
    Action(
        name="capture",
        permission=Permission.CAPTURE,
        button="Capture",
        tone="first",
        happens="The authorized amount, or the part that you enter, is collected from the customer. The rest is released.",
        final="A payment can be captured once. What you release cannot be collected later.",
        offered=lambda payment: payment.status == Status.AUTHORIZED,
        run=_capture,
        amount="Amount to capture",
        reason="Reason, shown in the audit",
    ),
    Action(
        name="cancel",
        permission=Permission.CANCEL,
        button="Cancel",
        tone="danger",
        happens="The customer can no longer pay. An authorized amount is released. If the customer paid first, the payment stays paid.",
        final="A canceled payment stays canceled. The shop can open a new one for the order.",
        offered=lambda payment: payment.status in _CANCELABLE,
        run=_cancel,
        reason="Reason, shown in the audit",
    ),
    Action(
        name="republish",
        permission=Permission.REPUBLISH,
        button="Publish again",
        tone="",
        happens="All records of this payment from the last 7 days go to Kafka once more, with the same ids. Consumers that count ids ignore them.",
        final="Published records cannot be taken back.",
        offered=lambda _payment: True,
        run=_republish,
        reason="Reason, shown in the audit",
    ),
)
