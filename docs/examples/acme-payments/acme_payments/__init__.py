"""The payment provider `acme`: it builds requests, makes a single attempt of each, and maps answers to the port's outcomes."""

from __future__ import annotations

import hmac
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote
from uuid import UUID

from pydantic import Field, SecretStr

from acme_payments.server import Server
from payment_service.config.config import Settings
from payment_service.domain.payment import IntentFact, Status
from payment_service.domain.refund import RefundFact, RefundListFact, RefundRefused, RefundStatus
from payment_service.provider.plugins import Plugin, ProviderContext
from payment_service.provider.port import (
    BodyRefused,
    Call,
    Checkout,
    Disposition,
    Done,
    Kind,
    Misused,
    Outcome,
    ProviderEvent,
    Refused,
    Request,
    SignatureRefused,
    Transient,
    Unexpected,
    WrongState,
)
from payment_service_events.currency import currency
from payment_service_events.money import Money

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATES: Final = {
    "open": Status.PENDING,
    "held": Status.AUTHORIZED,
    "paid": Status.SUCCEEDED,
    "canceled": Status.CANCELED,
}


class AcmeSettings(Settings):
    """The settings of Acme: ACME_SECRET, or ACME_SECRET_FILE."""

    acme_secret: SecretStr = Field(min_length=8, description="The secret with which Acme signs its webhooks.")


class Acme:
    """A client of Acme's API. A real one would have an HTTP session instead of the simulated server."""

    name = "acme"

    def __init__(self, settings: AcmeSettings, context: ProviderContext) -> None:
        self._secret = settings.acme_secret.get_secret_value().encode()
        self._deployment = context.deployment
        self.server = Server(context.now_s)

    async def close(self) -> None:
        """Close nothing."""

    def create_request(
        self,
        *,
        payment_id: UUID,
        order_id: str,
        amount: Money,
        manual_capture: bool = False,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> Request:
        """Build the request that creates a payment. It carries our ids, so that the payment can be found again."""
        names = {**metadata, "deployment": self._deployment, "order_id": order_id, "payment_id": str(payment_id)}
        form = {"amount": amount.minor, "currency": amount.currency.code, "hold": manual_capture, "names": names}
        return _post("/payments", form)

    def cancel_request(self, intent_id: str, *, reason: str = "") -> Request:
        """Build a cancellation. The intent is in the path, quoted."""
        return _post(f"/payments/{quote(intent_id, safe='')}/cancel", {"why": reason})

    def capture_request(self, intent_id: str, amount: Money) -> Request:
        """Build a capture."""
        return _post(f"/payments/{quote(intent_id, safe='')}/capture", {"amount": amount.minor})

    def refund_request(
        self, intent_id: str, *, refund_id: UUID, payment_id: UUID, amount: Money, reason: str
    ) -> Request:
        """Build a refund. It carries our id of the refund."""
        form = {"payment": intent_id, "amount": amount.minor, "refund_id": str(refund_id), "reason": reason}
        return _post("/refunds", {**form, "payment_id": str(payment_id)})

    def refunds_request(self, intent_id: str) -> Request:
        """Build the request that reads a payment's refunds."""
        return _get(f"/refunds/{quote(intent_id, safe='')}")

    def retrieve_request(self, intent_id: str) -> Request:
        """Build the request that reads a payment."""
        return _get(f"/payments/{quote(intent_id, safe='')}")

    def lookup_request(self, request: Request) -> Request:
        """Build the request that reads the subject of another request."""
        if request.path == "/refunds":
            return self.refunds_request(json.loads(request.body)["payment"])
        return self.retrieve_request(_subject(request))

    async def send(self, call: Call) -> Outcome:
        """Make a single attempt. Call `refuse_late` just before it is sent."""
        request = call.request
        try:
            form = json.loads(request.body) if request.body else {}
        except ValueError:
            return Unexpected(code="no_json", detail="the stored request is unreadable", request_id="")
        call.refuse_late()
        status, body = self.server.handle(request.method, request.path, form, call.idempotency_key)
        return self._sort(call, status, body)

    async def checkout(self, intent_id: str) -> Checkout | Transient:
        """Return the address at which the customer pays."""
        one = self.server.payments.get(intent_id)
        if one is None:
            return Transient(code="not_found", retry_after_s=0)
        return Checkout(pay={"url": f"https://pay.acme.example/{intent_id}"}, fact=_payment(one, "checkout"))

    async def find_intents(
        self, *, created_from: int, created_to: int, limit: int
    ) -> Mapping[UUID, tuple[IntentFact | None, ...]] | None:
        """List our payments of a time window."""
        window = [one for one in self.server.payments.values() if created_from <= one["created"] <= created_to]
        if len(window) > limit:
            return None
        found: dict[UUID, tuple[IntentFact | None, ...]] = {}
        for one in window:
            if one["names"]["deployment"] == self._deployment:
                payment_id = UUID(one["names"]["payment_id"])
                found[payment_id] = (*found.get(payment_id, ()), _payment(one, f"list:{one['id']}"))
        return found

    def verify(self, body: bytes, headers: Mapping[str, str], *, now_s: int) -> str:  # noqa: ARG002 - Acme signs no time
        """Check Acme's signature: HMAC-SHA256 over the body, in the header Acme-Signature."""
        given = headers.get("acme-signature", "").encode()
        if not hmac.compare_digest(given, hmac.digest(self._secret, body, "sha256").hex().encode()):
            raise SignatureRefused("no_match", "The signature does not match the body.")
        return "acme-secret"

    def parse(self, body: bytes) -> dict[str, Any]:
        """Read an event."""
        try:
            event = json.loads(body)
            self.translate(event)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BodyRefused("not_an_event", "The body is not an event of Acme.") from None
        return dict(event)

    def translate(self, event: dict[str, Any]) -> ProviderEvent:
        """Translate an event. An event without our metadata is external."""
        subject, source = event["subject"], event["id"]
        names = subject.get("names") or {"payment_id": subject.get("payment_id"), "deployment": self._deployment}
        ours = names.get("deployment") == self._deployment
        fact = _refund(subject, source) if event["type"] == "refund" else _payment(subject, source, from_event=True)
        return ProviderEvent(
            provider=self.name,
            event_id=source,
            event_type=event["type"],
            occurred_at=event["at"],
            payload=json.dumps(event),
            disposition=Disposition.APPLY if ours else Disposition.EXTERNAL,
            payment_id=UUID(names["payment_id"]) if ours else None,
            intent_id=fact.intent_id if ours else None,
            fact=fact if ours else None,
        )

    def _sort(self, call: Call, status: int, body: dict[str, Any]) -> Outcome:
        code = str(body.get("code", ""))
        if status == 200:  # noqa: PLR2004 - HTTP's
            return Done(fact=self._read(call, body), request_id="")
        if code == "key_reused":
            return Misused(code=code, request_id="")
        if code == "wrong_state":
            return WrongState(code=code, fact=_payment(body["payment"], call.source), request_id="")
        if code == "too_much" and call.kind is Kind.REFUND:
            reason = "The refund exceeds the captured amount."
            at = int(self.server.now_s())
            fact = RefundRefused(refund_id=call.operation_id, code=code, reason=reason, at=at, source=call.source)
            return Refused(code=code, reason=reason, fact=fact, request_id="")
        return Unexpected(code=code, detail=f"HTTP {status}", request_id="")

    def _read(self, call: Call, body: dict[str, Any]) -> IntentFact | RefundFact | RefundListFact:
        if "refunds" in body:
            refunds = tuple(_refund(one, call.source) for one in body["refunds"])
            at = int(self.server.now_s())
            name = _subject(call.request)
            return RefundListFact(intent_id=name, refunds=refunds, whole=True, at=at, source=call.source)
        return _refund(body, call.source) if "refund_id" in body else _payment(body, call.source)


PLUGIN: Final = Plugin(settings=AcmeSettings, make=Acme)


def _payment(one: dict[str, Any], source: str, *, from_event: bool = False) -> IntentFact:
    unit = currency(one["currency"])
    return IntentFact(
        intent_id=one["id"],
        status=_STATES[one["state"]],
        at=one["at"],
        source=source,
        from_event=from_event,
        amount=Money(one["amount"], unit),
        received=Money(one["taken"], unit),
        method="acme",
    )


def _refund(one: dict[str, Any], source: str) -> RefundFact:
    return RefundFact(
        intent_id=one["payment"],
        provider_refund_id=one["id"],
        refund_id=UUID(one["refund_id"]),
        amount=Money(one["amount"], currency(one["currency"])),
        status=RefundStatus.SUCCEEDED,
        failure="",
        at=one["at"],
        source=source,
    )


def _subject(request: Request) -> str:
    return unquote(request.path.strip("/").split("/")[1])


def _post(path: str, form: dict[str, Any]) -> Request:
    return Request(method="POST", path=path, body=json.dumps(form), api_version="1")


def _get(path: str) -> Request:
    return Request(method="GET", path=path, body="", api_version="1")
