"""Checks of how an intent is made: once, of the right amount, found again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from payment_service.domain.payment import IntentFact, Status
from payment_service.provider.conformance.counterpart import fail, intent_of, part_of, require, trial
from payment_service.provider.port import OWN_INTENT, Kind, Misused, TooLate
from payment_service_events.money import MoneyError

if TYPE_CHECKING:
    from payment_service.provider.conformance.counterpart import Check, Counterpart, Trial

# Clocks of the provider and ours may differ by this much (s).
_MARGIN_S: Final = 300
_LISTING_LIMIT: Final = 10_000
_AT_ONCE: Final = 8


async def the_same_words_for_the_same_wish(counterpart: Counterpart) -> None:
    """A request is stored and sent byte for byte: it depends on nothing but what is asked for, and names a path."""
    one = trial(counterpart)
    require(one.create() == one.create(), "the same create is worded in two ways")
    require(one.create() != one.create(amount=part_of(one.amount)), "two amounts are worded the same")
    provider = counterpart.provider
    for request in (one.create(), provider.retrieve_request("an/id"), provider.cancel_request(OWN_INTENT)):
        require(request.path.startswith("/"), f"the path {request.path!r} does not begin with /")
    about = provider.cancel_request(OWN_INTENT).about("an/id")
    require(about == provider.cancel_request("an/id"), "a cancel has the intent elsewhere than, quoted, in its path")


async def the_same_key_makes_one_intent(counterpart: Counterpart) -> None:
    """However often a create is sent, one after another or at once."""
    one = trial(counterpart)
    first = await one.begin()
    again = [intent_of(await one.send(Kind.CREATE, one.create()), "a repeated create") for _ in range(2)]
    require({fact.intent_id for fact in again} == {first.intent_id}, "a repeated create made another intent")
    require(first.status is Status.PENDING, f"a new intent is {first.status}, not pending")
    require(len(await _listed(one, first)) == 1, "a repeated create shows two intents in the listing")


async def creates_at_once_make_one_intent(counterpart: Counterpart) -> None:
    """Some may be told to come again; none makes a second one."""
    one = trial(counterpart)
    await asyncio.gather(*(one.send(Kind.CREATE, one.create()) for _ in range(_AT_ONCE)))
    first = await one.begin()
    require(len(await _listed(one, first)) == 1, f"{_AT_ONCE} creates at once under one key made several intents")


async def a_key_with_another_body_is_refused(counterpart: Counterpart) -> None:
    """It must be told apart from a refusal of the payment: Misused, and the first intent stands."""
    one = trial(counterpart)
    first = await one.begin()
    outcome = await one.send(Kind.CREATE, one.create(amount=part_of(one.amount)))
    require(isinstance(outcome, Misused), f"a key with another body came to {outcome!r}, not to Misused")
    require((await one.read(first.intent_id)).amount == one.amount, "a key with another body changed the amount")


async def amounts_come_back_exactly_in_every_currency(counterpart: Counterpart) -> None:
    """Minor units in, minor units out, whatever the provider counts in."""
    for code in sorted(counterpart.currencies):
        one = trial(counterpart, code)
        try:
            intent = await one.begin()
        except MoneyError as error:
            fail(f"{one.amount} can't be worded: {error}")
        read = await one.read(intent.intent_id)
        require(read.amount == one.amount, f"{one.amount} was read back as {read.amount}")
        require(read.intent_id == intent.intent_id, f"reading {intent.intent_id} gave {read.intent_id}")


async def an_intent_is_found_by_its_time_and_by_our_name(counterpart: Counterpart) -> None:
    """After an unknown outcome a listing decides whether a second intent may be made."""
    one, other = trial(counterpart), trial(counterpart)
    mine, others = await one.begin(), await other.begin()
    found = await _listed(one, mine)
    require([fact.intent_id for fact in found] == [mine.intent_id], f"a listing shows {found} under {one.payment_id}")
    require([f.intent_id for f in await _listed(other, others)] == [others.intent_id], "a listing lacks an intent")
    before = await counterpart.provider.find_intents(
        created_from=mine.at - 3 * _MARGIN_S, created_to=mine.at - 2 * _MARGIN_S, limit=_LISTING_LIMIT
    )
    require(before is not None, "a window of the past could not be listed")
    require(one.payment_id not in (before or {}), "an intent is listed in a window before it was made")


async def what_is_too_late_is_not_sent(counterpart: Counterpart) -> None:
    """`refuse_late` is called just before an attempt goes out; what it raises gets through, and nothing was made."""

    def refuse() -> None:
        raise TooLate

    one, other = trial(counterpart), trial(counterpart)
    try:
        outcome = await one.send(Kind.CREATE, one.create(), refuse_late=refuse)
    except TooLate:
        marker = await other.begin()
        require(not await _listed(one, marker), "an attempt that was refused as too late made an intent")
        return
    fail(f"an attempt that refuse_late forbids came to {outcome!r}")


async def a_customer_is_told_how_to_pay(counterpart: Counterpart) -> None:
    """The page of an open intent; of an unknown one there is none, and no error."""
    one = trial(counterpart)
    intent = await one.begin()
    shown = await counterpart.provider.checkout(intent.intent_id)
    pay = getattr(shown, "pay", None)
    require(pay and all(isinstance(name, str) for name in pay), f"a checkout came to {shown!r}")
    fact = getattr(shown, "fact", None)
    require(fact is None or fact.amount == one.amount, "a checkout is of another amount")
    nothing = await counterpart.provider.checkout("no-such-intent")
    require(not hasattr(nothing, "pay"), "there is a checkout of an intent that does not exist")


async def _listed(one: Trial, about: IntentFact) -> tuple[IntentFact, ...]:
    found = await one.provider.find_intents(
        created_from=about.at - _MARGIN_S, created_to=about.at + _MARGIN_S, limit=_LISTING_LIMIT
    )
    if found is None:
        fail("a window of ten minutes could not be listed")
    facts = found.get(one.payment_id, ())
    require(None not in facts, "an intent of ours can't be read in the listing")
    return tuple(fact for fact in facts if fact is not None)


CHECKS: Final[tuple[Check, ...]] = (
    the_same_words_for_the_same_wish,
    the_same_key_makes_one_intent,
    creates_at_once_make_one_intent,
    a_key_with_another_body_is_refused,
    amounts_come_back_exactly_in_every_currency,
    an_intent_is_found_by_its_time_and_by_our_name,
    what_is_too_late_is_not_sent,
    a_customer_is_told_how_to_pay,
)
