"""The harness around the provider under test, and the payments that the checks make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeAlias
from uuid import UUID, uuid4

from payment_service.domain.payment import IntentFact, Status
from payment_service.provider.port import Call, Done, Kind, Outcome, Request, TooLate
from payment_service_events.currency import currency
from payment_service_events.money import Money

if TYPE_CHECKING:
    from payment_service.provider.port import Provider

# In minor units of every currency. No provider rejects this size, and it is a multiple of ten for three decimals.
AMOUNT_MINOR: Final = 654_320
PART_MINOR: Final = 54_320
INTENT_ID_MAX: Final = 255  # characters


class NotConforming(AssertionError):
    """The provider violates a rule that the service depends on. The message says which."""


class ProviderHarness(Protocol):
    """The counterpart of the provider under test: it pays and delivers events."""

    @property
    def provider(self) -> Provider:
        """Return the provider under test."""
        ...

    @property
    def deployment(self) -> str:
        """Return the deployment that the provider was made with."""
        ...

    @property
    def currencies(self) -> Collection[str]:
        """Return the lower-case codes of all currencies that the provider accepts."""
        ...

    @property
    def supports_manual_capture(self) -> bool:
        """Return whether the provider can authorize money and capture it later."""
        ...

    async def pay(self, intent_id: str, amount: Money) -> None:
        """Pay the full amount as the customer. Return when the provider has recorded it."""
        ...

    async def events(self) -> Sequence[Mapping[str, Any]]:
        """Return all events of the provider, oldest first, in the form that `translate` takes."""
        ...


Check: TypeAlias = Callable[[ProviderHarness], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A payment that a check makes."""

    harness: ProviderHarness
    amount: Money
    payment_id: UUID = field(default_factory=uuid4)

    @property
    def provider(self) -> Provider:
        """Return the provider under test."""
        return self.harness.provider

    def create(self, *, amount: Money | None = None, manual_capture: bool = False) -> Request:
        """Build the request that creates the intent."""
        return self.provider.create_request(
            payment_id=self.payment_id,
            order_id=f"order-{self.payment_id}",
            amount=amount or self.amount,
            manual_capture=manual_capture,
        )

    async def send(
        self,
        kind: Kind,
        request: Request,
        *,
        operation_id: UUID | None = None,
        key: str = "",
        refuse_late: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Make an attempt as the dispatcher does. The provider must return an outcome."""
        operation_id = operation_id or uuid4()
        subject = self.payment_id if kind is Kind.CREATE else operation_id
        call = Call(
            kind=kind,
            operation_id=operation_id,
            payment_id=self.payment_id,
            request=request,
            idempotency_key=key or f"{kind}:{subject}:1",
            source=f"answer:{operation_id}",
            refuse_late=refuse_late,
        )
        try:
            outcome: object = await self.provider.send(call)
        except TooLate:
            raise
        except Exception as error:
            raise NotConforming(f"send raised {type(error).__name__} for a {kind}: {error}") from error
        require(isinstance(outcome, Outcome), f"send returned {outcome!r} for a {kind}, which is not an outcome")
        return outcome  # type: ignore[return-value]

    async def begin(self, *, manual_capture: bool = False) -> IntentFact:
        """Create the intent. This must succeed."""
        fact = intent_of(await self.send(Kind.CREATE, self.create(manual_capture=manual_capture)), "a create")
        require(fact.amount == self.amount, f"a create for {self.amount} created an intent of {fact.amount}")
        return fact

    async def paid(self) -> IntentFact:
        """Create the intent and pay the full amount."""
        intent = await self.begin()
        await self.harness.pay(intent.intent_id, self.amount)
        return await self.read(intent.intent_id)

    async def read(self, intent_id: str) -> IntentFact:
        """Read the intent. It must exist."""
        return intent_of(await self.send(Kind.RETRIEVE, self.provider.retrieve_request(intent_id)), "a retrieve")


def trial(harness: ProviderHarness, code: str = "") -> Trial:
    """Return a new payment in one of the provider's currencies."""
    unit = currency(code or min(harness.currencies))
    return Trial(harness=harness, amount=Money(AMOUNT_MINOR, unit))


def part_of(amount: Money) -> Money:
    """Return a partial amount."""
    return Money(PART_MINOR, amount.currency)


def require(condition: object, sentence: str) -> None:
    """Raise NotConforming unless the condition holds."""
    if not condition:
        raise NotConforming(sentence)


def fail(sentence: str) -> NoReturn:
    """Raise NotConforming."""
    raise NotConforming(sentence)


def intent_of(outcome: Outcome, what: str) -> IntentFact:
    """Return the intent in a Done outcome. Raise NotConforming for any other."""
    if not isinstance(outcome, Done) or not isinstance(outcome.fact, IntentFact):
        fail(f"{what} returned {outcome!r}, not Done with an IntentFact")
    fact = outcome.fact
    require(fact.intent_id and len(fact.intent_id) <= INTENT_ID_MAX, f"{what} names its intent {fact.intent_id!r}")
    require(isinstance(fact.at, int) and fact.at > 0, f"{what} has the time {fact.at!r}, which is not in seconds")
    require(fact.received.currency == fact.amount.currency, f"{what} has two currencies")
    paid = fact.status is Status.SUCCEEDED
    require(paid == (fact.received.minor > 0), f"{what} has received {fact.received} and is {fact.status}")
    return fact
