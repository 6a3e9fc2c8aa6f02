"""What the checks work with: the provider, somebody who plays its other side, and one payment after another."""

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

# In minor units of every currency: of a size that no provider calls too small or too large, and even in thousandths.
AMOUNT_MINOR: Final = 654_320
PART_MINOR: Final = 54_320
INTENT_ID_MAX: Final = 255  # characters


class NotConforming(AssertionError):
    """The provider does not do what the service relies on. The message says what."""


class Counterpart(Protocol):
    """Who plays the provider's other side for the checks."""

    @property
    def provider(self) -> Provider:
        """The provider under test."""
        ...

    @property
    def deployment(self) -> str:
        """The name under which it was made."""
        ...

    @property
    def currencies(self) -> Collection[str]:
        """Codes, in small letters, of all that it takes."""
        ...

    @property
    def holds(self) -> bool:
        """Whether it can hold money, to be captured later."""
        ...

    async def pay(self, intent_id: str, amount: Money) -> None:
        """Be the customer: pay all of it, and return when the provider knows."""
        ...

    async def events(self) -> Sequence[Mapping[str, Any]]:
        """Give all events that the provider has told so far, as `translate` takes them, the oldest first."""
        ...


Check: TypeAlias = Callable[[Counterpart], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A payment that a check makes, and what is asked about it."""

    counterpart: Counterpart
    amount: Money
    payment_id: UUID = field(default_factory=uuid4)

    @property
    def provider(self) -> Provider:
        """The provider under test."""
        return self.counterpart.provider

    def create(self, *, amount: Money | None = None, hold: bool = False) -> Request:
        """Word the creation."""
        return self.provider.create_request(
            payment_id=self.payment_id,
            order_id=f"order-{self.payment_id}",
            amount=amount or self.amount,
            manual_capture=hold,
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
        """Make an attempt, as the dispatcher does. Whatever it is, it must be an outcome."""
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
        require(isinstance(outcome, Outcome), f"send gave {outcome!r} for a {kind}, which is no outcome")
        return outcome  # type: ignore[return-value]

    async def begin(self, *, hold: bool = False) -> IntentFact:
        """Create the intent, which must work."""
        fact = intent_of(await self.send(Kind.CREATE, self.create(hold=hold)), "a create")
        require(fact.amount == self.amount, f"a create for {self.amount} made an intent of {fact.amount}")
        return fact

    async def paid(self) -> IntentFact:
        """Create the intent and let the customer pay it, all."""
        intent = await self.begin()
        await self.counterpart.pay(intent.intent_id, self.amount)
        return await self.read(intent.intent_id)

    async def read(self, intent_id: str) -> IntentFact:
        """Read the intent, which must be there."""
        return intent_of(await self.send(Kind.RETRIEVE, self.provider.retrieve_request(intent_id)), "a retrieve")


def trial(counterpart: Counterpart, code: str = "") -> Trial:
    """Begin with another payment, in a currency of the provider's."""
    unit = currency(code or min(counterpart.currencies))
    return Trial(counterpart=counterpart, amount=Money(AMOUNT_MINOR, unit))


def part_of(amount: Money) -> Money:
    """Give a part of an amount."""
    return Money(PART_MINOR, amount.currency)


def require(condition: object, sentence: str) -> None:
    """Raise NotConforming unless it is so."""
    if not condition:
        raise NotConforming(sentence)


def fail(sentence: str) -> NoReturn:
    """Raise NotConforming."""
    raise NotConforming(sentence)


def intent_of(outcome: Outcome, what: str) -> IntentFact:
    """Give the intent that a call brought; it must have been done."""
    if not isinstance(outcome, Done) or not isinstance(outcome.fact, IntentFact):
        fail(f"{what} came to {outcome!r}, not to Done with an IntentFact")
    fact = outcome.fact
    require(fact.intent_id and len(fact.intent_id) <= INTENT_ID_MAX, f"{what} names its intent {fact.intent_id!r}")
    require(isinstance(fact.at, int) and fact.at > 0, f"{what} happened at {fact.at!r}, which is no time in seconds")
    require(fact.received.currency == fact.amount.currency, f"{what} has two currencies")
    paid = fact.status is Status.SUCCEEDED
    require(paid == (fact.received.minor > 0), f"{what} has received {fact.received} and is {fact.status}")
    return fact
