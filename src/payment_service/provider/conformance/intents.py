"""Check the creation of intents: once per key, with the exact amount, and found by a listing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from payment_service.domain.payment import IntentFact, Status
from payment_service.provider.conformance.harness import fail, intent_of, part_of, require, trial
from payment_service.provider.port import OWN_INTENT, Kind, Misused, TooLate
from payment_service_events.money import MoneyError

if TYPE_CHECKING:
    from payment_service.provider.conformance.harness import Check, ProviderHarness, Trial

# Allowed difference between the provider's clock and ours, in seconds.
_MARGIN_S: Final = 300
_LISTING_LIMIT: Final = 10_000
_AT_ONCE: Final = 8


async def equal_input_builds_equal_requests(harness: ProviderHarness) -> None:
    """Check that requests depend on their input alone, because they are stored and sent byte for byte."""
    one = trial(harness)
    require(one.create() == one.create(), "equal creates build different requests")
    require(one.create() != one.create(amount=part_of(one.amount)), "different amounts build equal requests")
    provider = harness.provider
    for request in (one.create(), provider.retrieve_request("an/id"), provider.cancel_request(OWN_INTENT)):
        require(request.path.startswith("/"), f"the path {request.path!r} does not begin with /")
    about = provider.cancel_request(OWN_INTENT).about("an/id")
    require(about == provider.cancel_request("an/id"), "the path of a cancel does not contain the quoted intent id")


async def a_repeated_key_creates_one_intent(harness: ProviderHarness) -> None:
    """Check repeated creates, one after another."""
    one = trial(harness)
    first = await one.begin()
    again = [intent_of(await one.send(Kind.CREATE, one.create()), "a repeated create") for _ in range(2)]
    require({fact.intent_id for fact in again} == {first.intent_id}, "a repeated create created another intent")
    require(first.status is Status.PENDING, f"a new intent is {first.status}, not pending")
    require(len(await _listed(one, first)) == 1, "a repeated create shows two intents in the listing")


async def concurrent_creates_make_one_intent(harness: ProviderHarness) -> None:
    """Check concurrent creates. Some may be told to retry, but none creates a second intent."""
    one = trial(harness)
    await asyncio.gather(*(one.send(Kind.CREATE, one.create()) for _ in range(_AT_ONCE)))
    first = await one.begin()
    require(len(await _listed(one, first)) == 1, f"{_AT_ONCE} concurrent creates with one key created several intents")


async def a_key_with_another_body_is_refused(harness: ProviderHarness) -> None:
    """Check that the outcome is Misused, not a refusal of the payment, and that the first intent stays unchanged."""
    one = trial(harness)
    first = await one.begin()
    outcome = await one.send(Kind.CREATE, one.create(amount=part_of(one.amount)))
    require(isinstance(outcome, Misused), f"a key with another body returned {outcome!r}, not Misused")
    require((await one.read(first.intent_id)).amount == one.amount, "a key with another body changed the amount")


async def amounts_are_exact_in_every_currency(harness: ProviderHarness) -> None:
    """Check that minor units survive a round trip, whatever unit the provider uses."""
    for code in sorted(harness.currencies):
        one = trial(harness, code)
        try:
            intent = await one.begin()
        except MoneyError as error:
            fail(f"no request can be built for {one.amount}: {error}")
        read = await one.read(intent.intent_id)
        require(read.amount == one.amount, f"{one.amount} was read back as {read.amount}")
        require(read.intent_id == intent.intent_id, f"reading {intent.intent_id} gave {read.intent_id}")


async def an_intent_is_found_by_time_and_payment_id(harness: ProviderHarness) -> None:
    """Check the listing that decides, after an unknown outcome, whether a second intent may be created."""
    one, other = trial(harness), trial(harness)
    mine, others = await one.begin(), await other.begin()
    found = await _listed(one, mine)
    require([fact.intent_id for fact in found] == [mine.intent_id], f"a listing contains {found} for {one.payment_id}")
    require([f.intent_id for f in await _listed(other, others)] == [others.intent_id], "a listing lacks an intent")
    before = await harness.provider.find_intents(
        created_from=mine.at - 3 * _MARGIN_S, created_to=mine.at - 2 * _MARGIN_S, limit=_LISTING_LIMIT
    )
    require(before is not None, "a past window could not be listed")
    require(one.payment_id not in (before or {}), "an intent is listed in a window before it was made")


async def a_late_attempt_is_not_sent(harness: ProviderHarness) -> None:
    """Check that `refuse_late` is called just before sending, and that its exception passes through."""

    def refuse() -> None:
        raise TooLate

    one, other = trial(harness), trial(harness)
    try:
        outcome = await one.send(Kind.CREATE, one.create(), refuse_late=refuse)
    except TooLate:
        marker = await other.begin()
        require(not await _listed(one, marker), "an attempt that was too late created an intent")
        return
    fail(f"an attempt returned {outcome!r} although refuse_late forbids it")


async def checkout_returns_payment_data(harness: ProviderHarness) -> None:
    """Check the checkout of an open intent, and that an unknown intent causes no error."""
    one = trial(harness)
    intent = await one.begin()
    shown = await harness.provider.checkout(intent.intent_id)
    pay = getattr(shown, "pay", None)
    require(pay and all(isinstance(name, str) for name in pay), f"checkout returned {shown!r}")
    fact = getattr(shown, "fact", None)
    require(fact is None or fact.amount == one.amount, "a checkout has another amount")
    nothing = await harness.provider.checkout("no-such-intent")
    require(not hasattr(nothing, "pay"), "an unknown intent has a checkout")


async def _listed(one: Trial, about: IntentFact) -> tuple[IntentFact, ...]:
    found = await one.provider.find_intents(
        created_from=about.at - _MARGIN_S, created_to=about.at + _MARGIN_S, limit=_LISTING_LIMIT
    )
    if found is None:
        fail("a window of ten minutes could not be listed")
    facts = found.get(one.payment_id, ())
    require(None not in facts, "an intent of ours in the listing cannot be parsed")
    return tuple(fact for fact in facts if fact is not None)


CHECKS: Final[tuple[Check, ...]] = (
    equal_input_builds_equal_requests,
    a_repeated_key_creates_one_intent,
    concurrent_creates_make_one_intent,
    a_key_with_another_body_is_refused,
    amounts_are_exact_in_every_currency,
    an_intent_is_found_by_time_and_payment_id,
    a_late_attempt_is_not_sent,
    checkout_returns_payment_data,
)
