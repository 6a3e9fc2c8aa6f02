"""Check events and webhooks: translation is deterministic, order does not matter, and unsigned webhooks are refused."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from payment_service.domain.payment import Applied, Payment, Status, apply
from payment_service.domain.refund import RefundFact
from payment_service.provider.conformance.harness import NotConforming, fail, part_of, require, trial
from payment_service.provider.port import Disposition, Kind, ProviderEvent, SignatureRefused, WebhookReceiver
from payment_service_events.money import Money

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from payment_service.domain.facts import AnyFact
    from payment_service.domain.payment import IntentFact
    from payment_service.provider.conformance.harness import Check, ProviderHarness, Trial

# Four events have 24 orders. This limit applies to more events.
_ORDERS_MAX: Final = 120


async def events_translate_the_same_every_time(harness: ProviderHarness) -> None:
    """Check that a delivered and a stored event translate to the same result."""
    one = trial(harness)
    await one.paid()
    for event in await harness.events():
        first, second = _translate(harness, event), _translate(harness, event)
        require(first == second, f"a second translation of an event differs: {first!r}, {second!r}")
        stored = _translate(harness, json.loads(first.payload))
        require(stored == first, f"the translation of a stored event differs: {first!r}, {stored!r}")
        require(first.provider == harness.provider.name, f"an event names the provider {first.provider}")
        require(bool(first.event_id) and first.occurred_at > 0, f"an event has no id or time: {first!r}")
        require(json.loads(first.payload) is not None, "an event's payload is not JSON")


async def event_ids_are_unique(harness: ProviderHarness) -> None:
    """Check that each event has an id of its own, under which it is applied once."""
    for _ in range(2):
        await trial(harness).paid()
    names = [_translate(harness, event).event_id for event in await harness.events()]
    require(len(names) == len(set(names)), "two events have one id")


async def events_of_a_paid_intent_name_the_payment(harness: ProviderHarness) -> None:
    """Check that the payment is found even before the response to its create."""
    one = trial(harness)
    paid = await one.paid()
    facts = [fact for fact in _facts(harness, one, await harness.events()) if _is_paid(fact)]
    require(facts, "no event contains the payment")
    for fact in facts:
        require(getattr(fact, "intent_id", "") == paid.intent_id, f"an event contains {fact!r}")
        require(getattr(fact, "received", None) == one.amount, f"an event contains {fact!r} for {one.amount}")


async def events_in_any_order_give_the_same_result(harness: ProviderHarness) -> None:
    """Check all orders of events and responses, each applied twice."""
    one = trial(harness)
    begun = await one.begin()
    await harness.pay(begun.intent_id, one.amount)
    read = await one.read(begun.intent_id)
    published = [fact for fact in _facts(harness, one, await harness.events()) if hasattr(fact, "received")]
    facts: list[Any] = [begun, read, *published]
    ends = {
        _end_of(one, begun, [*order, *order]) for order in itertools.islice(itertools.permutations(facts), _ORDERS_MAX)
    }
    require(ends == {(Status.SUCCEEDED, one.amount.minor)}, f"the same facts in other orders give {ends}")


async def refund_events_name_the_refund(harness: ProviderHarness) -> None:
    """Check that a refund event carries our id and the requested amount."""
    one = trial(harness)
    paid = await one.paid()
    refund_id = uuid4()
    request = harness.provider.refund_request(
        paid.intent_id, refund_id=refund_id, payment_id=one.payment_id, amount=part_of(one.amount), reason=""
    )
    await one.send(Kind.REFUND, request, operation_id=refund_id)
    for fact in (_translate(harness, event).fact for event in await harness.events()):
        if isinstance(fact, RefundFact) and fact.intent_id == paid.intent_id:
            require(fact.refund_id == refund_id, f"an event names the refund {fact.refund_id}, not {refund_id}")
            require(fact.amount == part_of(one.amount), f"an event contains a refund of {fact.amount}")


async def unsigned_webhooks_are_refused(harness: ProviderHarness) -> None:
    """Check that a missing, wrong or non-ASCII signature raises SignatureRefused and nothing else."""
    provider = harness.provider
    if not isinstance(provider, WebhookReceiver):
        return
    names = ("authorization", "signature", "stripe-signature", f"{provider.name}-signature")
    for value in ("", "t=1,v1=00", "\u00ff", "0" * 64):
        for body in (b"", b"{}", b"\xff"):
            try:
                label = provider.verify(body, dict.fromkeys(names, value), now_s=1_790_000_000)
            except SignatureRefused:
                continue
            except Exception as error:
                raise NotConforming(f"verify raised {type(error).__name__}") from error
            fail(f"an unsigned body was accepted with {label!r}")


def _translate(harness: ProviderHarness, event: Mapping[str, Any]) -> ProviderEvent:
    return harness.provider.translate(dict(event))


def _facts(harness: ProviderHarness, one: Trial, events: Iterable[Mapping[str, Any]]) -> list[AnyFact]:
    """Return the facts about a payment from the events that name it."""
    read = (_translate(harness, event) for event in events)
    ours = [e for e in read if e.disposition is Disposition.APPLY and e.payment_id == one.payment_id]
    require(
        all(event.fact is not None or event.read_again is not None for event in ours),
        "an event that names our payment has neither a fact nor a request to read it again",
    )
    return [event.fact for event in ours if event.fact is not None]


def _is_paid(fact: AnyFact) -> bool:
    return getattr(fact, "status", None) is Status.SUCCEEDED and hasattr(fact, "received")


def _end_of(one: Trial, begun: IntentFact, facts: Iterable[IntentFact]) -> tuple[Status, int]:
    nothing = Money(0, one.amount.currency)
    payment = Payment(
        id=one.payment_id,
        order_id="order",
        attempt=1,
        user_id="",
        provider=one.provider.name,
        provider_payment_id=None,
        amount=one.amount,
        captured=nothing,
        refunded=nothing,
        reserved=nothing,
        status=Status.CREATED,
        method=None,
        sequence=0,
        key=None,
        declines=(),
        paid_at=None,
    )
    for fact in facts:
        require(fact.intent_id == begun.intent_id, f"a fact is about {fact.intent_id}, not {begun.intent_id}")
        verdict = apply(payment, fact)
        payment = verdict.payment if isinstance(verdict, Applied) else payment
    return payment.status, payment.captured.minor


CHECKS: Final[tuple[Check, ...]] = (
    events_translate_the_same_every_time,
    event_ids_are_unique,
    events_of_a_paid_intent_name_the_payment,
    events_in_any_order_give_the_same_result,
    refund_events_name_the_refund,
    unsigned_webhooks_are_refused,
)
