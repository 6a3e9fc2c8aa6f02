"""Checks of what a provider tells: events, read the same at every reading, in any order; webhooks that nobody can forge."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from payment_service.domain.payment import Applied, Payment, Status, apply
from payment_service.domain.refund import RefundFact
from payment_service.provider.conformance.counterpart import NotConforming, fail, part_of, require, trial
from payment_service.provider.port import Disposition, Kind, ProviderEvent, Receiver, SignatureRefused
from payment_service_events.money import Money

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from payment_service.domain.facts import AnyFact
    from payment_service.domain.payment import IntentFact
    from payment_service.provider.conformance.counterpart import Check, Counterpart, Trial

# Of four events there are 24 orders; of more, these many are tried.
_ORDERS_MAX: Final = 120


async def events_read_the_same_at_every_reading(counterpart: Counterpart) -> None:
    """Also from what was stored of them: a replay sees the very event that was delivered."""
    one = trial(counterpart)
    await one.paid()
    for event in await counterpart.events():
        first, second = _translate(counterpart, event), _translate(counterpart, event)
        require(first == second, f"an event reads differently at the second reading: {first!r}, {second!r}")
        stored = _translate(counterpart, json.loads(first.payload))
        require(stored == first, f"an event reads differently once it was stored: {first!r}, {stored!r}")
        require(first.provider == counterpart.provider.name, f"an event names the provider {first.provider}")
        require(bool(first.event_id) and first.occurred_at > 0, f"an event without id or time: {first!r}")
        require(json.loads(first.payload) is not None, "an event's payload is no JSON")


async def each_event_has_a_name_of_its_own(counterpart: Counterpart) -> None:
    """Under which it is applied once."""
    for _ in range(2):
        await trial(counterpart).paid()
    names = [_translate(counterpart, event).event_id for event in await counterpart.events()]
    require(len(names) == len(set(names)), "two events have one id")


async def a_paid_intent_is_told_of_with_our_names(counterpart: Counterpart) -> None:
    """So that the payment is found even before the answer to its create."""
    one = trial(counterpart)
    paid = await one.paid()
    told = [fact for fact in _facts(counterpart, one, await counterpart.events()) if _is_paid(fact)]
    require(told, "no event tells of the money that came")
    for fact in told:
        require(getattr(fact, "intent_id", "") == paid.intent_id, f"an event tells of {fact!r}")
        require(getattr(fact, "received", None) == one.amount, f"an event tells of {fact!r} for {one.amount}")


async def events_in_any_order_end_the_same(counterpart: Counterpart) -> None:
    """With the answers of the create and of a read among them, each of them twice."""
    one = trial(counterpart)
    begun = await one.begin()
    await counterpart.pay(begun.intent_id, one.amount)
    read = await one.read(begun.intent_id)
    told = [fact for fact in _facts(counterpart, one, await counterpart.events()) if hasattr(fact, "received")]
    facts: list[Any] = [begun, read, *told]
    ends = {
        _end_of(one, begun, [*order, *order]) for order in itertools.islice(itertools.permutations(facts), _ORDERS_MAX)
    }
    require(ends == {(Status.SUCCEEDED, one.amount.minor)}, f"the same facts in other orders end as {ends}")


async def a_refund_is_told_of_with_our_name_where_it_is_told(counterpart: Counterpart) -> None:
    """Its amount is the one that was asked for."""
    one = trial(counterpart)
    paid = await one.paid()
    refund_id = uuid4()
    request = counterpart.provider.refund_request(
        paid.intent_id, refund_id=refund_id, payment_id=one.payment_id, amount=part_of(one.amount), reason=""
    )
    await one.send(Kind.REFUND, request, operation_id=refund_id)
    for fact in (_translate(counterpart, event).fact for event in await counterpart.events()):
        if isinstance(fact, RefundFact) and fact.intent_id == paid.intent_id:
            require(fact.refund_id == refund_id, f"an event tells of a refund {fact.refund_id}, not {refund_id}")
            require(fact.amount == part_of(one.amount), f"an event tells of a refund of {fact.amount}")


async def what_is_not_signed_is_not_believed(counterpart: Counterpart) -> None:
    """Of a provider that has webhooks: no signature, a wrong one, and one that is no ASCII are refused, and nothing else is raised."""
    provider = counterpart.provider
    if not isinstance(provider, Receiver):
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
            fail(f"a body that nobody signed was believed by {label!r}")


def _translate(counterpart: Counterpart, event: Mapping[str, Any]) -> ProviderEvent:
    return counterpart.provider.translate(dict(event))


def _facts(counterpart: Counterpart, one: Trial, events: Iterable[Mapping[str, Any]]) -> list[AnyFact]:
    """What is told of a payment by its name."""
    read = (_translate(counterpart, event) for event in events)
    ours = [e for e in read if e.disposition is Disposition.APPLY and e.payment_id == one.payment_id]
    require(all(event.fact is not None for event in ours), "an event that names a payment of ours carries no fact")
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
    events_read_the_same_at_every_reading,
    each_event_has_a_name_of_its_own,
    a_paid_intent_is_told_of_with_our_names,
    events_in_any_order_end_the_same,
    a_refund_is_told_of_with_our_name_where_it_is_told,
    what_is_not_signed_is_not_believed,
)
