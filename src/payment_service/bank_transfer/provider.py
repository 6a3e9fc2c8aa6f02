"""The provider `bank_transfer`. Its requests look like calls to a server, and the ledger answers them.

Money arrives by transfer a day or two later; an operator or a statement reports it (`transfers.py`). A
transfer cannot be authorized first, so it is captured at once. A refund succeeds when an operator has transferred the money back.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from uuid import UUID

from payment_service.bank_transfer import events, ledger
from payment_service.bank_transfer.references import reference_of
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.domain.payment import Status
from payment_service.domain.refund import RefundListFact, RefundRefused, RefundStatus
from payment_service.provider.port import (
    Checkout,
    Done,
    Misused,
    Refused,
    Request,
    Transient,
    Unexpected,
    Unknown,
    WrongState,
)
from payment_service_events.currency import currency
from payment_service_events.money import Money

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payment_service.bank_transfer.events import Intent, LedgerRefund
    from payment_service.bank_transfer.settings import BankTransferSettings
    from payment_service.db.pool import Connection
    from payment_service.domain.payment import IntentFact
    from payment_service.provider.plugins import ProviderContext
    from payment_service.provider.port import Call, Outcome, ProviderEvent

API_VERSION: Final = "1"
_INTENTS: Final = "/intents"
_REFUNDS: Final = "/refunds"
# Failed and canceled refunds returned no money.
_HOLDING: Final = frozenset({RefundStatus.PENDING, RefundStatus.SUCCEEDED})


class BankTransfer:
    """Answer provider calls from the ledger. Each process has one."""

    name = events.PROVIDER
    captures_at_once = True

    def __init__(self, settings: BankTransferSettings, context: ProviderContext) -> None:
        self.account = settings.bank_transfer_iban
        self.holder = settings.bank_transfer_holder
        self.expires_after = settings.bank_transfer_expires_after
        self._pool = context.pool
        self._now_s = context.now_s

    async def close(self) -> None:
        """Close nothing: the service owns the pool."""

    def create_request(
        self,
        *,
        payment_id: UUID,
        order_id: str,
        amount: Money,
        manual_capture: bool = False,  # noqa: ARG002 - a bank holds no money for us
        metadata: Mapping[str, str] = MappingProxyType({}),  # noqa: ARG002 - nobody sees a bank's request
    ) -> Request:
        """Build the request for an intent. `manual_capture` has no effect: a transfer is captured at once."""
        body = {
            "payment_id": payment_id,
            "order_id": order_id,
            "amount": amount.minor,
            "currency": amount.currency.code,
        }
        return _post(_INTENTS, body)

    def cancel_request(self, intent_id: str, *, reason: str = "") -> Request:
        """Build the cancel of an intent."""
        return _post(f"{_INTENTS}/{quote(intent_id, safe='')}/cancel", {"reason": reason})

    def capture_request(self, intent_id: str, amount: Money) -> Request:
        """Build a capture, which is refused."""
        return _post(f"{_INTENTS}/{quote(intent_id, safe='')}/capture", {"amount": amount.minor})

    def refund_request(
        self, intent_id: str, *, refund_id: UUID, payment_id: UUID, amount: Money, reason: str
    ) -> Request:
        """Build the request for a transfer back."""
        body = {"reference": intent_id, "amount": amount.minor, "currency": amount.currency.code}
        return _post(_REFUNDS, {**body, "refund_id": refund_id, "payment_id": payment_id, "reason": reason})

    def refunds_request(self, intent_id: str) -> Request:
        """Build the read of an intent's refunds."""
        return _get(f"{_REFUNDS}?{urlencode({'reference': intent_id})}")

    def retrieve_request(self, intent_id: str) -> Request:
        """Build the read of an intent."""
        return _get(f"{_INTENTS}/{quote(intent_id, safe='')}")

    def lookup_request(self, request: Request) -> Request:
        """Build the read of the object of a request: the intent, or its refunds."""
        if request.path.startswith(_REFUNDS):
            return self.refunds_request(_form(request)["reference"])
        return self.retrieve_request(_reference_in(request))

    async def send(self, call: Call) -> Outcome:
        """Answer from the ledger. Without the database the outcome is unknown, as with any other provider."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                call.refuse_late()
                return await self._answer(connection, call)
        except TRANSIENT_ERRORS as error:
            return Unknown(code=f"database:{type(error).__name__}")
        except (KeyError, ValueError) as error:
            detail = f"the stored request can't be read: {type(error).__name__}"
            return Unexpected(code="unreadable_request", detail=detail, request_id="")

    async def checkout(self, intent_id: str) -> Checkout | Transient:
        """Return the account and the reference for the customer's transfer."""
        try:
            async with self._pool.acquire() as connection:
                intent = await ledger.intent(connection, intent_id)
        except TRANSIENT_ERRORS as error:
            return Transient(code=f"database:{type(error).__name__}", retry_after_s=0)
        if intent is None:
            return Transient(code="no_such_intent", retry_after_s=0)
        pay = {"iban": self.account, "account_holder": self.holder, "reference": intent.reference}
        return Checkout(pay=pay, fact=intent.fact(source=f"checkout:{intent.reference}"))

    async def find_intents(
        self, *, created_from: int, created_to: int, limit: int
    ) -> Mapping[UUID, tuple[IntentFact | None, ...]] | None:
        """Return the intents of a window, or None if there are more than `limit` or the database is unavailable."""
        begin, end = (datetime.fromtimestamp(moment, UTC) for moment in (created_from, created_to + 1))
        try:
            async with self._pool.acquire() as connection:
                found = await ledger.intents_between(connection, begin, end, limit + 1)
        except TRANSIENT_ERRORS:
            return None
        if len(found) > limit:
            return None
        return {intent.payment_id: (intent.fact(source=f"list:{intent.reference}"),) for intent in found}

    def translate(self, event: dict[str, Any]) -> ProviderEvent:
        """Translate an event of the ledger."""
        return events.translate(event)

    async def _answer(self, connection: Connection, call: Call) -> Outcome:
        request = call.request
        if request.path == _INTENTS:
            return await self._open(connection, call)
        if request.path == _REFUNDS:
            return await self._open_refund(connection, call)
        if request.path.startswith(_REFUNDS):
            return await self._list_refunds(connection, call)
        reference = _reference_in(request)
        if request.path.endswith("/cancel"):
            return _cancelled(await ledger.cancel_intent(connection, reference), call)
        intent = await ledger.intent(connection, reference)
        if intent is None:
            return _no_intent()
        if request.path.endswith("/capture"):
            reason = "A transfer is captured when it arrives: there is nothing to capture later."
            return Refused(
                code="capture_not_supported", reason=reason, fact=intent.fact(source=call.source), request_id=""
            )
        return Done(fact=intent.fact(source=call.source), request_id="")

    async def _open(self, connection: Connection, call: Call) -> Outcome:
        form = _form(call.request)
        payment_id, amount = UUID(form["payment_id"]), _amount(form)
        intent = await ledger.open_intent(connection, reference_of(payment_id), payment_id, amount)
        if intent is None or intent.payment_id != payment_id:
            detail = "another payment has its reference"
            return Unexpected(code="reference_taken", detail=detail, request_id="")
        if intent.amount != amount:
            return Misused(code="another_amount", request_id="")
        return Done(fact=intent.fact(source=call.source, as_created=True), request_id="")

    async def _open_refund(self, connection: Connection, call: Call) -> Outcome:
        form = _form(call.request)
        refund_id, amount = UUID(form["refund_id"]), _amount(form)
        intent = await ledger.intent(connection, form["reference"], lock=True)
        if intent is None:
            return _no_intent()
        known = {refund.refund_id: refund for refund in await ledger.refunds_of(connection, intent.reference)}
        if (before := known.get(refund_id)) is not None:
            if before.amount != amount:
                return Misused(code="another_amount", request_id="")
            return Done(fact=before.fact(source=call.source), request_id="")
        if problem := _not_refundable(intent, list(known.values()), amount):
            fact = RefundRefused(
                refund_id=refund_id, code=problem[0], reason=problem[1], at=int(self._now_s()), source=call.source
            )
            return Refused(code=problem[0], reason=problem[1], fact=fact, request_id="")
        await ledger.open_refund(connection, refund_id, intent, amount)
        opened = await ledger.refund(connection, refund_id)
        return Done(fact=opened.fact(source=call.source) if opened else None, request_id="")

    async def _list_refunds(self, connection: Connection, call: Call) -> Outcome:
        reference = _form(call.request)["reference"]
        refunds = await ledger.refunds_of(connection, reference)
        fact = RefundListFact(
            intent_id=reference,
            refunds=tuple(refund.fact(source=call.source) for refund in refunds),
            whole=True,
            at=int(self._now_s()),
            source=call.source,
        )
        return Done(fact=fact, request_id="")


def _cancelled(intent: Intent | None, call: Call) -> Outcome:
    if intent is None:
        return _no_intent()
    fact = intent.fact(source=call.source)
    if intent.status is Status.CANCELED:
        return Done(fact=replace(fact, cancellation=_form(call.request).get("reason", "")), request_id="")
    return WrongState(code="already_paid", fact=fact, request_id="")


def _not_refundable(intent: Intent, refunds: list[LedgerRefund], amount: Money) -> tuple[str, str] | None:
    if intent.status is not Status.SUCCEEDED:
        return "not_paid", "No transfer has arrived, so nothing can be refunded."
    given = sum(refund.amount.minor for refund in refunds if refund.status in _HOLDING)
    if amount.currency != intent.amount.currency or given + amount.minor > intent.amount.minor:
        return "more_than_paid", "The refund exceeds the amount that arrived."
    return None


def _no_intent() -> Unexpected:
    return Unexpected(code="no_such_intent", detail="the ledger has no intent of this reference", request_id="")


def _reference_in(request: Request) -> str:
    return unquote(request.path.removeprefix(f"{_INTENTS}/").partition("/")[0])


def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body if request.method == "POST" else urlsplit(request.path).query))


def _amount(form: Mapping[str, str]) -> Money:
    return Money(int(form["amount"]), currency(form["currency"]))


def _post(path: str, form: Mapping[str, object]) -> Request:
    return Request(method="POST", path=path, body=urlencode(form), api_version=API_VERSION)


def _get(path: str) -> Request:
    return Request(method="GET", path=path, body="", api_version=API_VERSION)
