"""Check how payments end (paid, canceled, captured), and that invalid requests are never done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.domain.payment import IntentFact, Status
from payment_service.provider.conformance.harness import intent_of, part_of, require, trial
from payment_service.provider.port import Done, ImmediateCapture, Kind, Refused, Request, WrongState

if TYPE_CHECKING:
    from payment_service.provider.conformance.harness import Check, ProviderHarness


async def a_paid_intent_has_received_the_amount(harness: ProviderHarness) -> None:
    """Check that a paid intent has succeeded and has received the requested amount."""
    one = trial(harness)
    read = await one.paid()
    require(read.status is Status.SUCCEEDED, f"a paid intent is {read.status}")
    require(read.received == one.amount, f"a paid intent has received {read.received} of {one.amount}")


async def an_unpaid_intent_is_canceled_once(harness: ProviderHarness) -> None:
    """Check that a canceled intent stays canceled when the cancel is repeated, under another key or the same."""
    one = trial(harness)
    intent = await one.begin()
    request = harness.provider.cancel_request(intent.intent_id, reason="abandoned")
    outcome = await one.send(Kind.CANCEL, request, key=f"cancel:{one.payment_id}:1")
    require(intent_of(outcome, "a cancel").status is Status.CANCELED, "a cancel did not cancel")
    for key in ("1", "2"):
        again = await one.send(Kind.CANCEL, request, key=f"cancel:{one.payment_id}:{key}")
        require(isinstance(again, Done | WrongState), f"a repeated cancel returned {again!r}")
        fact = again.fact if isinstance(again, Done | WrongState) else None
        ended = fact is None or (isinstance(fact, IntentFact) and fact.status is Status.CANCELED)
        require(ended, f"a repeated cancel returned {fact!r}")
    require((await one.read(intent.intent_id)).status is Status.CANCELED, "a canceled intent did not stay canceled")


async def canceling_a_paid_intent_is_a_wrong_state(harness: ProviderHarness) -> None:
    """Check that the outcome is WrongState, with the intent or no fact, and that the money stays."""
    one = trial(harness)
    paid = await one.paid()
    outcome = await one.send(Kind.CANCEL, harness.provider.cancel_request(paid.intent_id))
    require(isinstance(outcome, WrongState), f"a cancel of a paid intent returned {outcome!r}, not WrongState")
    read = await one.read(paid.intent_id)
    require(read.status is Status.SUCCEEDED, f"a cancel of a paid intent left it {read.status}")
    require(read.received == one.amount, f"a cancel of a paid intent left {read.received}")


async def only_an_authorized_intent_is_captured(harness: ProviderHarness) -> None:
    """Check that a part can be captured once, and that other captures are refused and change nothing."""
    one = trial(harness)
    intent = await one.begin(manual_capture=harness.supports_manual_capture)
    request = harness.provider.capture_request(intent.intent_id, part_of(one.amount))
    early = await one.send(Kind.CAPTURE, request, key=f"capture:{one.payment_id}:1")
    require(isinstance(early, Refused | WrongState), f"a capture without an authorization returned {early!r}")
    require((await one.read(intent.intent_id)).received.minor == 0, "a capture took money before the customer paid")
    said = isinstance(harness.provider, ImmediateCapture) and harness.provider.captures_at_once
    require(
        said is not harness.supports_manual_capture,
        "`captures_at_once` must be true exactly for providers without manual capture",
    )
    if not harness.supports_manual_capture:
        return
    await harness.pay(intent.intent_id, one.amount)
    authorized = await one.read(intent.intent_id)
    require(authorized.status is Status.AUTHORIZED, f"an authorized intent is {authorized.status}")
    captured = intent_of(await one.send(Kind.CAPTURE, request, key=f"capture:{one.payment_id}:2"), "a capture")
    require(captured.status is Status.SUCCEEDED, f"a captured intent is {captured.status}")
    require(captured.received == part_of(one.amount), f"a capture of {part_of(one.amount)} took {captured.received}")
    again = await one.send(Kind.CAPTURE, request, key=f"capture:{one.payment_id}:3")
    require(not isinstance(again, Done), "an intent was captured twice")


async def a_lookup_shows_the_result_of_a_cancel(harness: ProviderHarness) -> None:
    """Check that a read shows the result of a cancel whose key cannot help any more."""
    one = trial(harness)
    intent = await one.begin()
    cancel = harness.provider.cancel_request(intent.intent_id)
    lookup = harness.provider.lookup_request(cancel)
    before = intent_of(await one.send(Kind.CANCEL, lookup), "a lookup")
    require(before.intent_id == intent.intent_id, f"a lookup is about {before.intent_id}")
    require(before.status is Status.PENDING, f"a lookup changed the intent to {before.status}")
    await one.send(Kind.CANCEL, cancel)
    after = intent_of(await one.send(Kind.CANCEL, lookup), "a lookup")
    require(after.status is Status.CANCELED, f"a lookup after the cancel returned {after.status}")


async def invalid_requests_are_never_done(harness: ProviderHarness) -> None:
    """Check that unknown intents, paths and bodies give an outcome other than Done, and raise nothing."""
    one = trial(harness)
    create = one.create()
    requests = [
        (Kind.RETRIEVE, harness.provider.retrieve_request("no-such-intent")),
        (Kind.CANCEL, harness.provider.cancel_request("no-such-intent")),
        (Kind.CAPTURE, harness.provider.capture_request("no-such-intent", one.amount)),
        (Kind.CREATE, Request(method="POST", path=create.path, body="}{", api_version=create.api_version)),
        (Kind.CREATE, Request(method="POST", path=create.path, body="", api_version=create.api_version)),
        (Kind.RETRIEVE, Request(method="GET", path="/no/such/path", body="", api_version=create.api_version)),
    ]
    for number, (kind, request) in enumerate(requests):
        outcome = await one.send(kind, request, key=f"nonsense:{one.payment_id}:{number}")
        require(not isinstance(outcome, Done), f"{request.method} {request.path} {request.body!r} returned {outcome!r}")


CHECKS: Final[tuple[Check, ...]] = (
    a_paid_intent_has_received_the_amount,
    an_unpaid_intent_is_canceled_once,
    canceling_a_paid_intent_is_a_wrong_state,
    only_an_authorized_intent_is_captured,
    a_lookup_shows_the_result_of_a_cancel,
    invalid_requests_are_never_done,
)
