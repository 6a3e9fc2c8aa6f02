"""Check refunds: once per key, under our id, and never more than was captured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from payment_service.domain.refund import RefundFact, RefundListFact, RefundRefused, RefundStatus
from payment_service.provider.conformance.harness import fail, part_of, require, trial
from payment_service.provider.port import Done, Kind, Misused, Refused
from payment_service_events.money import Money

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.provider.conformance.harness import Check, ProviderHarness, Trial
    from payment_service.provider.port import Outcome, Request

_BEGUN: Final = frozenset({RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION, RefundStatus.SUCCEEDED})


async def a_repeated_refund_key_creates_one_refund(harness: ProviderHarness) -> None:
    """Check that a repeated key returns the same refund, and that another amount is Misused."""
    one = trial(harness)
    paid = await one.paid()
    refund_id = uuid4()
    fact = _refund_of(await _refund(one, paid.intent_id, refund_id, part_of(one.amount)))
    require(fact.refund_id == refund_id, f"a refund has the id {fact.refund_id}, not {refund_id}")
    require(fact.intent_id == paid.intent_id, f"a refund is of {fact.intent_id}, not of {paid.intent_id}")
    require(fact.amount == part_of(one.amount), f"a refund of {part_of(one.amount)} has the amount {fact.amount}")
    require(fact.status in _BEGUN, f"a new refund is {fact.status}")
    again = await _refund(one, paid.intent_id, refund_id, part_of(one.amount))
    require(isinstance(again, Done), f"a repeated refund returned {again!r}")
    listed = await _listed(one, harness.provider.refunds_request(paid.intent_id))
    require(
        [r.provider_refund_id for r in listed.refunds] == [fact.provider_refund_id],
        "a repeated key created two refunds",
    )
    other = await _refund(one, paid.intent_id, refund_id, Money(1_000, one.amount.currency))
    require(isinstance(other, Misused), f"a refund's key with another amount returned {other!r}, not Misused")


async def refunds_are_listed_together(harness: ProviderHarness) -> None:
    """Check that the list of an intent's refunds carries our ids and says whether it is complete."""
    one = trial(harness)
    paid = await one.paid()
    names = [uuid4(), uuid4()]
    for name in names:
        await _refund(one, paid.intent_id, name, part_of(one.amount))
    lookup = harness.provider.lookup_request(_request(one, paid.intent_id, names[0], part_of(one.amount)))
    for request in (harness.provider.refunds_request(paid.intent_id), lookup):
        listed = await _listed(one, request)
        require(listed.intent_id == paid.intent_id, f"a listing of refunds is of {listed.intent_id}")
        require(listed.whole, "a list of two refunds is not complete")
        require({one.refund_id for one in listed.refunds} == set(names), f"a list contains {listed.refunds!r}")


async def refunds_never_exceed_the_captured_amount(harness: ProviderHarness) -> None:
    """Check that the refusal is definite and names the refund, so that its reservation can be released."""
    one = trial(harness)
    paid = await one.paid()
    await _refund(one, paid.intent_id, uuid4(), part_of(one.amount))
    refund_id = uuid4()
    outcome = await _refund(one, paid.intent_id, refund_id, one.amount)
    if not isinstance(outcome, Refused) or not isinstance(outcome.fact, RefundRefused):
        fail(f"a refund above the remaining amount returned {outcome!r}, not Refused with a RefundRefused")
    require(outcome.fact.refund_id == refund_id, f"the refusal is of {outcome.fact.refund_id}")
    read = await one.read(paid.intent_id)
    require(read.received == one.amount, f"an intent with refunds has received {read.received}")


async def an_unpaid_intent_is_not_refunded(harness: ProviderHarness) -> None:
    """Check that an unpaid intent has nothing to refund."""
    one = trial(harness)
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
        fail(f"a list of refunds returned {outcome!r}, not Done with a RefundListFact")
    return outcome.fact


def _refund_of(outcome: Outcome) -> RefundFact:
    if not isinstance(outcome, Done) or not isinstance(outcome.fact, RefundFact):
        fail(f"a refund returned {outcome!r}, not Done with a RefundFact")
    return outcome.fact


CHECKS: Final[tuple[Check, ...]] = (
    a_repeated_refund_key_creates_one_refund,
    refunds_are_listed_together,
    refunds_never_exceed_the_captured_amount,
    an_unpaid_intent_is_not_refunded,
)
