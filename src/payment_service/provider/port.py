"""What a payment provider is to this service: it words requests, sends them, and says what came of it in closed types."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from uuid import UUID

    from payment_service.domain.facts import AnyFact
    from payment_service.domain.payment import IntentFact
    from payment_service_events.money import Money


# Stands for the payment's intent in a request that was worded before it was known.
OWN_INTENT: Final = "~own~"
# Customers of one process for whom a provider is asked at once. A read takes 0.1 to 0.3 s, so that these are more than a
# whole rate of 20 a second needs.
CHECKOUTS_MAX: Final = 8


class Kind(StrEnum):
    """What an operation asks of the provider."""

    CREATE = "create"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    RETRIEVE = "retrieve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call as it is stored, and sent byte for byte: form body, path with its leading slash, the API version it was made for."""

    method: str
    path: str
    body: str
    api_version: str

    def about(self, intent_id: str) -> Request:
        """Put the payment's own intent, which never changes once it is known, where its place was held."""
        return replace(self, path=self.path.replace(OWN_INTENT, quote(intent_id, safe="")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt: the request, under which key, and for which payment. A refund bears the operation's id.

    `source` names the answer among facts. `refuse_late` raises TooLate if the attempt may no longer be sent.
    """

    kind: Kind
    operation_id: UUID
    payment_id: UUID
    request: Request
    idempotency_key: str
    source: str
    refuse_late: Callable[[], None]


class TooLate(Exception):
    """The attempt was not on the wire within its time; nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The provider did it, or has it. `fact` is None where a replayed answer is too old to be one: then a read is needed."""

    fact: AnyFact | None
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transient:
    """Not done; the same key again, not before `retry_after_s`."""

    code: str
    retry_after_s: float
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nobody knows. The same key again; `replayed`: the key itself answers with an error, so only a read can tell."""

    code: str
    replayed: bool = False
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A definite no that ends the operation. `fact`: what it means for the payment, if anything."""

    code: str
    reason: str
    fact: AnyFact | None
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongState:
    """The intent is in another state than the operation needs; the intent itself is the fact (None: read it)."""

    code: str
    fact: AnyFact | None
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """We are locked out: `kind` None means of everything (401), else of one kind of operation (403). Nothing is settled."""

    code: str
    kind: Kind | None
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Misused:
    """The key was used with another request: read what exists, then a person must look."""

    code: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexpected:
    """A refusal that is on no list (another 4xx): a person must look. A run of them blocks the kind."""

    code: str
    detail: str
    request_id: str


Outcome = Done | Transient | Unknown | Refused | WrongState | Blocked | Misused | Unexpected


# A provider and its own name for an event of its.
EventKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """How a customer pays an intent. `pay`: JSON values for the shop's page, which may be secret: never store or log them.

    `fact`: the intent as it was read on the way, None where nothing had to be read.
    """

    pay: Mapping[str, object] = field(repr=False)
    fact: IntentFact | None = None


class Disposition(StrEnum):
    """What is to become of a provider's event."""

    APPLY = "apply"  # carries a fact about a payment that bears our name
    IGNORED = "ignored"  # a type that means nothing to us
    FOREIGN = "foreign"  # bears no name of ours; ours all the same if its intent is a payment's own
    MISDIRECTED = "misdirected"  # of another mode (test, live) or account: an endpoint is set up wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEvent:
    """A verified event. `occurred_at`: the provider's clock, seconds. `payload`: JSON text that PostgreSQL's jsonb accepts, less secrets.

    `intent_id` finds the payment of what does not bear our name, as refunds and disputes don't.
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

    @property
    def key(self) -> EventKey:
        """What tells it from all others."""
        return self.provider, self.event_id


class SignatureRefused(Exception):
    """A delivery is not from the provider, or too old, or too new. The message is one sentence without any of its content.

    `reason`: one word, also a metric's label.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BodyRefused(Exception):
    """A body was signed and is no event that can be read: it is kept for a person. As SignatureRefused otherwise."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@runtime_checkable
class Receiver(Protocol):
    """Reads what is posted to `/webhooks/{name}`: a provider that has these methods too has webhooks. Pure: no I/O, no clock."""

    def verify(self, body: bytes, headers: Mapping[str, str], *, now_s: int) -> str:
        """Check that the provider sent it; name the secret that shows it, never the secret itself. Raises SignatureRefused.

        `headers`: names in small letters, a repeated one joined by a comma and a space. `now_s`: our clock, seconds.
        """
        ...

    def parse(self, body: bytes) -> dict[str, Any]:
        """Read a verified body strictly, leaving out what must not be stored. Raises BodyRefused."""
        ...

    def translate(self, event: dict[str, Any]) -> ProviderEvent:
        """Say what an event means. Pure, and the same at every reading."""
        ...


@runtime_checkable
class Patient(Protocol):
    """A provider whose customers take longer: how long their payments may stay unpaid where orders don't say; 0: for ever."""

    expires_after: timedelta


@runtime_checkable
class Immediate(Protocol):
    """A provider that can hold no money to be captured later: what comes is captured, whatever an order says."""

    captures_at_once: bool


class Provider(Protocol):
    """A payment provider. Implementations hold connections and no state of payments."""

    name: str

    def create_request(
        self, *, payment_id: UUID, order_id: str, amount: Money, manual_capture: bool = False
    ) -> Request:
        """Word the request that makes an intent. Raises AmountNotRepresentable (a ValueError)."""
        ...

    def cancel_request(self, intent_id: str, *, reason: str = "") -> Request:
        """Word the request that cancels an intent. `why`: a word of `domain/unpaid.py`."""
        ...

    def capture_request(self, intent_id: str, amount: Money) -> Request:
        """Word the request that captures `amount` of what is held; the rest is released. Raises AmountNotRepresentable."""
        ...

    def refund_request(
        self, intent_id: str, *, refund_id: UUID, payment_id: UUID, amount: Money, reason: str
    ) -> Request:
        """Word the request that gives `amount` back. Raises AmountNotRepresentable."""
        ...

    def refunds_request(self, intent_id: str) -> Request:
        """Word the request that reads all refunds of an intent."""
        ...

    def retrieve_request(self, intent_id: str) -> Request:
        """Word the request that reads an intent."""
        ...

    def lookup_request(self, request: Request) -> Request:
        """Word the request that reads the object which a stored request is about: an intent, or an intent's refunds."""
        ...

    async def checkout(self, intent_id: str) -> Checkout | Transient:
        """Say how a customer pays an intent. Never raises; `Transient`, with a code for the log, whatever the trouble."""
        ...

    async def send(self, call: Call) -> Outcome:
        """Make one attempt. Never raises but TooLate and CancelledError; never retries by itself."""
        ...

    async def find_intents(
        self, *, created_from: int, created_to: int, limit: int
    ) -> Mapping[UUID, tuple[IntentFact | None, ...]] | None:
        """List the intents of our deployment created in a window (seconds), by payment id.

        An intent that bears our name and can't be read is None in its payment's tuple. None instead of a mapping: the window
        could not be listed whole.
        """
        ...

    def translate(self, event: dict[str, Any]) -> ProviderEvent:
        """Say what an event, as its payload was stored, means. Pure, and the same at every reading."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...
