"""Checks of refunds: each once, under our name, and never more than has come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from payment_service.domain.refund import RefundFact, RefundListFact, RefundRefused, RefundStatus
from payment_service.provider.conformance.counterpart import fail, part_of, require, trial
from payment_service.provider.port import Done, Kind, Misused, Refused
from payment_service_events.money import Money

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.provider.conformance.counterpart import Check, Counterpart, Trial
    from payment_service.provider.port import Outcome, Request

_BEGUN: Final = frozenset({RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION, RefundStatus.SUCCEEDED})


async def a_refund_bears_our_name_and_is_made_once(counterpart: Counterpart) -> None:
    """The same key makes the same refund; with another amount it is refused as misused."""
    one = trial(counterpart)
    paid = await one.paid()
    refund_id = uuid4()
    fact = _refund_of(await _refund(one, paid.intent_id, refund_id, part_of(one.amount)))
    require(fact.refund_id == refund_id, f"a refund bears the name {fact.refund_id}, not {refund_id}")
    require(fact.intent_id == paid.intent_id, f"a refund is of {fact.intent_id}, not of {paid.intent_id}")
    require(fact.amount == part_of(one.amount), f"a refund of {part_of(one.amount)} is of {fact.amount}")
    require(fact.status in _BEGUN, f"a refund that was made is {fact.status}")
    again = await _refund(one, paid.intent_id, refund_id, part_of(one.amount))
    require(isinstance(again, Done), f"a repeated refund came to {again!r}")
    listed = await _listed(one, counterpart.provider.refunds_request(paid.intent_id))
    require([r.provider_refund_id for r in listed.refunds] == [fact.provider_refund_id], "one key made two refunds")
    other = await _refund(one, paid.intent_id, refund_id, Money(1_000, one.amount.currency))
    require(isinstance(other, Misused), f"a refund's key with another amount came to {other!r}, not to Misused")


async def refunds_are_read_together(counterpart: Counterpart) -> None:
    """The listing of an intent shows each refund by our name, and says whether that is all."""
    one = trial(counterpart)
    paid = await one.paid()
    names = [uuid4(), uuid4()]
    for name in names:
        await _refund(one, paid.intent_id, name, part_of(one.amount))
    lookup = counterpart.provider.lookup_request(_request(one, paid.intent_id, names[0], part_of(one.amount)))
    for request in (counterpart.provider.refunds_request(paid.intent_id), lookup):
        listed = await _listed(one, request)
        require(listed.intent_id == paid.intent_id, f"a listing of refunds is of {listed.intent_id}")
        require(listed.whole, "a listing of two refunds is not whole")
        require({one.refund_id for one in listed.refunds} == set(names), f"a listing shows {listed.refunds!r}")


async def no_more_is_given_back_than_has_come_in(counterpart: Counterpart) -> None:
    """The refusal is definite and names the refund, so that what was reserved for it is free again."""
    one = trial(counterpart)
    paid = await one.paid()
    await _refund(one, paid.intent_id, uuid4(), part_of(one.amount))
    refund_id = uuid4()
    outcome = await _refund(one, paid.intent_id, refund_id, one.amount)
    if not isinstance(outcome, Refused) or not isinstance(outcome.fact, RefundRefused):
        fail(f"a refund of more than is left came to {outcome!r}, not to Refused with a RefundRefused")
    require(outcome.fact.refund_id == refund_id, f"the refusal is of {outcome.fact.refund_id}")
    read = await one.read(paid.intent_id)
    require(read.received == one.amount, f"an intent with refunds has received {read.received}")


async def what_is_unpaid_is_not_refunded(counterpart: Counterpart) -> None:
    """There is nothing to give back."""
    one = trial(counterpart)
    intent = await one.begin()
    outcome = await _refund(one, intent.intent_id, uuid4(), part_of(one.amount))
    require(not isinstance(outcome, Done), "an unpaid intent was refunded")


def _request(one: Trial, intent_id: str, refund_id: UUID, amount: Money) -> Request:
    return one.provider.refund_request(
        intent_id, refund_id=refund_id, payment_id=one.payment_id, amount=amount, reason="requested_by_customer"
    )


async def _refund(one: Trial, intent_id: str, refund_id: UUID, amount: Money) -> Outcome:
    return await one.send(Kind.REFUND, _request(one, intent_id, refund_id, amount), operation_id=refund_id)


async def _listed(one: Trial, request: Request) -> RefundListFact:
    outcome = await one.send(Kind.RETRIEVE, request)
    if not isinstance(outcome, Done) or not isinstance(outcome.fact, RefundListFact):
        fail(f"a listing of refunds came to {outcome!r}, not to Done with a RefundListFact")
    return outcome.fact


def _refund_of(outcome: Outcome) -> RefundFact:
    if not isinstance(outcome, Done) or not isinstance(outcome.fact, RefundFact):
        fail(f"a refund came to {outcome!r}, not to Done with a RefundFact")
    return outcome.fact


CHECKS: Final[tuple[Check, ...]] = (
    a_refund_bears_our_name_and_is_made_once,
    refunds_are_read_together,
    no_more_is_given_back_than_has_come_in,
    what_is_unpaid_is_not_refunded,
)
