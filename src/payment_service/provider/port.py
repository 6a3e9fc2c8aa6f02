"""The port: requests, outcomes, events and the interface that every payment provider implements."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from uuid import UUID

    from payment_service.domain.facts import AnyFact
    from payment_service.domain.payment import IntentFact
    from payment_service_events.money import Money


# A placeholder for the payment's intent in a request that is built before the intent exists.
OWN_INTENT: Final = "~own~"
# The code of a failure: the position in a list does not exist any more, so start the list again.
CURSOR_LOST: Final = "cursor_lost"
# Concurrent checkout reads per process. A read takes 0.1 to 0.3 s, so eight exceed the whole rate of 20 a second.
CHECKOUTS_MAX: Final = 8


class Kind(StrEnum):
    """The type of an operation."""

    CREATE = "create"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    RETRIEVE = "retrieve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A stored call, sent byte for byte: form body, path with leading slash, and the API version it was built for."""

    method: str
    path: str
    body: str
    api_version: str

    def about(self, intent_id: str) -> Request:
        """Replace the placeholder by the payment's own intent, which never changes."""
        return replace(self, path=self.path.replace(OWN_INTENT, quote(intent_id, safe="")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An attempt: the request, its idempotency key and its payment. A refund has the operation's id.

    `source` names the response as the source of a fact. `refuse_late` raises TooLate if the attempt must not be sent
    any more.
    """

    kind: Kind
    operation_id: UUID
    payment_id: UUID
    request: Request
    idempotency_key: str
    source: str
    refuse_late: Callable[[], None]


class TooLate(Exception):
    """The attempt was not sent within its time. Nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The provider did it, or has it. `fact` is None if a replayed response is useless; a read is needed then.

    `outdated`: the fact is from a replayed response, so the object may have moved on; it is applied and read again.
    """

    fact: AnyFact | None
    request_id: str
    outdated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transient:
    """Not done. Retry with the same key after `retry_after_s`."""

    code: str
    retry_after_s: float
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The result is unknown. Retry with the same key; `replayed`: the key returns an error, so only a read can help."""

    code: str
    replayed: bool = False
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceTooLow:
    """Our own balance at the provider does not cover the refund. Nothing was done; retry with a new key for days."""

    code: str
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A definite refusal, which ends the operation. `fact`: its meaning for the payment, if any."""

    code: str
    reason: str
    fact: AnyFact | None
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongState:
    """The intent's status does not allow the operation. `fact`: the intent itself (None: read it)."""

    code: str
    fact: AnyFact | None
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """The provider refuses the credentials: for all kinds (`kind` None, 401) or for one kind (403). Nothing is
    recorded.
    """

    code: str
    kind: Kind | None
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Misused:
    """The key was used with another request. Read the state, then an operator must look."""

    code: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexpected:
    """An unlisted refusal (another 4xx). An operator must look. A run of them blocks the kind."""

    code: str
    detail: str
    request_id: str


Outcome = Done | Transient | Unknown | BalanceTooLow | Refused | WrongState | Blocked | Misused | Unexpected


# The provider and its id of an event.
EventKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The data with which a customer pays an intent. `pay`: JSON values for the shop's page, possibly secret: never
    store or log them.

    `fact`: the intent as read for it, or None.
    """

    pay: Mapping[str, object] = field(repr=False)
    fact: IntentFact | None = None


class Disposition(StrEnum):
    """The handling of a provider's event."""

    APPLY = "apply"  # contains a fact about a payment of ours
    IGNORED = "ignored"  # a type that the service does not use
    EXTERNAL = "external"  # carries no metadata of ours; applied anyway if its intent belongs to a payment
    MISDIRECTED = "misdirected"  # from another mode (test, live) or account: the endpoint is misconfigured


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAgain:
    """The request that reads an event's object in our own version. `after_capture`: read it once a capture is known."""

    request: Request
    after_capture: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEvent:
    """A verified event. `occurred_at`: the provider's clock, seconds. `payload`: JSON text for jsonb, without secrets.

    `intent_id` finds the payment of events without our metadata, such as those of refunds and disputes. `read_again`:
    how to read the object instead, if the event has no fact because its version or content is not supported.
    """

    provider: str
    event_id: str
    event_type: str
    occurred_at: int
    payload: str
    disposition: Disposition
    payment_id: UUID | None
    intent_id: str | None
    fact: AnyFact | None
    read_again: ReadAgain | None = None

    @property
    def key(self) -> EventKey:
        """Return the unique key of the event."""
        return self.provider, self.event_id


class SignatureRefused(Exception):
    """The delivery is not from the provider, or its time is out of range. The message contains none of its content.

    `reason`: one word, also a metric label.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BodyRefused(Exception):
    """The signed body cannot be parsed as an event, so it is quarantined. `reason` and message as in SignatureRefused."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@runtime_checkable
class WebhookReceiver(Protocol):
    """The optional methods of a provider with webhooks. They read what is posted to `/webhooks/{name}`. Pure: no I/O,
    no clock.
    """

    def verify(self, body: bytes, headers: Mapping[str, str], *, now_s: int) -> str:
        """Verify that the provider sent it. Return the name of the matching secret, never the secret. Raise
        SignatureRefused.

        `headers`: lower-case names; repeated headers are joined by a comma and a space. `now_s`: our clock, seconds.
        """
        ...

    def parse(self, body: bytes) -> dict[str, Any]:
        """Parse a verified body strictly, without fields that must not be stored. Raise BodyRefused."""
        ...

    def translate(self, event: dict[str, Any]) -> ProviderEvent:
        """Translate an event. Pure and deterministic."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """A page of the provider's events, newest first. `at`: the provider's clock, seconds.

    `next_after`: the position after which older events follow, or an empty string at the end.
    """

    events: tuple[ProviderEvent, ...]
    at: int
    next_after: str


@runtime_checkable
class RecentEvents(Protocol):
    """The optional methods of a provider that lists its latest events. `events_kept`: for how long it does."""

    events_kept: timedelta

    async def recent_events(
        self, *, created_from: int, created_to: int | None, after: str = "", undelivered: bool = False
    ) -> EventPage | Transient:
        """Read a page of the events of a window (provider's seconds, both included; None: no end).

        `after`: the position that the page before returned. `undelivered`: only events that an endpoint has not
        accepted. Return `Transient` on any failure; code CURSOR_LOST if the position no longer exists. Never raise.
        """
        ...


@runtime_checkable
class DisputeReads(Protocol):
    """The optional method of a provider with disputes."""

    def disputes_request(self, intent_id: str) -> Request:
        """Build the request that reads all disputes of an intent."""
        ...


@runtime_checkable
class PaymentExpiry(Protocol):
    """A provider whose payments stay open longer: the default expiry of its payments; 0 means never."""

    expires_after: timedelta


@runtime_checkable
class ImmediateCapture(Protocol):
    """A provider without manual capture: it captures immediately, whatever an order says."""

    captures_at_once: bool


class Provider(Protocol):
    """A payment provider. Implementations hold connections, but no state of payments."""

    name: str

    def create_request(
        self,
        *,
        payment_id: UUID,
        order_id: str,
        amount: Money,
        manual_capture: bool = False,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> Request:
        """Build the request that creates an intent. Raise AmountNotRepresentable (a ValueError).

        `metadata`: the shop's own, for the provider's pages and reports. Its names are never those of the service.
        """
        ...

    def cancel_request(self, intent_id: str, *, reason: str = "") -> Request:
        """Build the request that cancels an intent. `reason`: a word of `domain/unpaid.py`."""
        ...

    def capture_request(self, intent_id: str, amount: Money) -> Request:
        """Build the request that captures `amount` and releases the rest. Raise AmountNotRepresentable."""
        ...

    def refund_request(
        self, intent_id: str, *, refund_id: UUID, payment_id: UUID, amount: Money, reason: str
    ) -> Request:
        """Build the request that refunds `amount`. Raise AmountNotRepresentable."""
        ...

    def refunds_request(self, intent_id: str) -> Request:
        """Build the request that reads all refunds of an intent."""
        ...

    def retrieve_request(self, intent_id: str) -> Request:
        """Build the request that reads an intent."""
        ...

    def lookup_request(self, request: Request) -> Request:
        """Build the request that reads the object of a stored request: an intent, or an intent's refunds."""
        ...

    async def checkout(self, intent_id: str) -> Checkout | Transient:
        """Return how a customer pays an intent. Return `Transient`, with a code for the log, on any failure. Never
        raise.
        """
        ...

    async def send(self, call: Call) -> Outcome:
        """Make one attempt. Raise TooLate and CancelledError only. Never retry."""
        ...

    async def find_intents(
        self, *, created_from: int, created_to: int, limit: int
    ) -> Mapping[UUID, tuple[IntentFact | None, ...]] | None:
        """List the intents of our deployment created in a window (seconds), by payment id.

        An intent that cannot be parsed is None in its payment's tuple. Return None instead of a mapping if the list is
        incomplete.
        """
        ...

    def translate(self, event: dict[str, Any]) -> ProviderEvent:
        """Translate an event from its stored payload. Pure and deterministic."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...
