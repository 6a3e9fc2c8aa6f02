"""Every operation in every status of a PaymentIntent: exactly the transitions of the table are possible."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import stripe

from stripe_sandbox.resources.payment_attempts import CONFIRMS_MAX
from stripe_sandbox.resources.transitions import ALLOWED_STATUSES, TRANSITIONS, Transition
from tests.support.sandbox import SandboxProcess

STATUSES = (
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
)
BOTH: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card", "us_bank_account"]}
BAD_CARD = "pm_card_chargeDeclined"
CHALLENGING_CARD = "pm_card_authenticationRequired"
WEEK_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Shop:
    """The API client, and the sandbox that controls the bank, the customer and the clock."""

    client: Any
    sandbox: SandboxProcess


Act = Callable[[Shop, str], object]

# Written independently of the sandbox's table, from https://docs.stripe.com/payments/paymentintents/lifecycle and
# https://docs.stripe.com/api/events/types, so that an error in the table is noticed.
DOCUMENTED = {
    "create": ("requires_payment_method", ["payment_intent.created"]),
    "create_with_method": ("requires_confirmation", ["payment_intent.created"]),
    "attach": ("requires_confirmation", []),
    "approve": ("succeeded", ["charge.succeeded", "payment_intent.succeeded"]),
    "authorize": ("requires_capture", ["charge.succeeded", "payment_intent.amount_capturable_updated"]),
    "challenge": ("requires_action", ["payment_intent.requires_action"]),
    "pend": ("processing", ["charge.pending", "payment_intent.processing"]),
    "decline": ("requires_payment_method", ["charge.failed", "payment_intent.payment_failed"]),
    "refuse": ("requires_payment_method", ["payment_intent.payment_failed"]),
    "exhaust": ("canceled", ["payment_intent.canceled"]),
    "fail_authentication": ("requires_payment_method", ["payment_intent.payment_failed"]),
    "await_confirmation": ("requires_confirmation", []),
    "settle": ("succeeded", ["charge.succeeded", "payment_intent.succeeded"]),
    "bounce": ("requires_payment_method", ["charge.failed", "payment_intent.payment_failed"]),
    "capture": ("succeeded", ["charge.captured", "payment_intent.succeeded"]),
    "cancel": ("canceled", ["payment_intent.canceled"]),
    "recall": ("canceled", ["payment_intent.canceled"]),
    "expire": ("canceled", ["charge.expired", "payment_intent.canceled"]),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to trigger a transition: the parameters of the intent, and the action to run."""

    act: Act
    params: dict[str, Any] = field(default_factory=dict)
    challenging_card: str = CHALLENGING_CARD
    confirms: int = 0


def confirming(method: str, **more: Any) -> Act:
    return lambda shop, intent: shop.client.v1.payment_intents.confirm(intent, {"payment_method": method, **more})


def updating(**changes: Any) -> Act:
    return lambda shop, intent: shop.client.v1.payment_intents.update(intent, changes)


def capturing(shop: Shop, intent: str) -> object:
    return shop.client.v1.payment_intents.capture(intent)


def canceling(shop: Shop, intent: str) -> object:
    return shop.client.v1.payment_intents.cancel(intent)


def authenticating(outcome: str) -> Act:
    return lambda shop, intent: shop.sandbox.control(
        "POST", f"/sandbox/payment_intents/{intent}/authenticate", {"outcome": outcome}
    )


def settling(outcome: str) -> Act:
    return lambda shop, intent: shop.sandbox.control(
        "POST", f"/sandbox/payment_intents/{intent}/settle", {"outcome": outcome}
    )


def waiting(shop: Shop, intent: str) -> None:
    shop.sandbox.advance(WEEK_S)


MANUAL = {"capture_method": "manual"}
RECIPES = {
    ("attach", "update"): Recipe(updating(payment_method="pm_card_visa")),
    ("approve", "confirm"): Recipe(confirming("pm_card_visa")),
    ("approve", "authenticate"): Recipe(authenticating("succeed")),
    ("authorize", "confirm"): Recipe(confirming("pm_card_visa"), MANUAL),
    ("authorize", "authenticate"): Recipe(authenticating("succeed"), MANUAL),
    ("challenge", "confirm"): Recipe(confirming(CHALLENGING_CARD)),
    ("pend", "confirm"): Recipe(confirming("pm_usBankAccount_success")),
    ("decline", "confirm"): Recipe(confirming(BAD_CARD)),
    ("decline", "authenticate"): Recipe(
        authenticating("succeed"), challenging_card="pm_card_threeDSecureRequiredChargeDeclined"
    ),
    ("refuse", "confirm"): Recipe(confirming(CHALLENGING_CARD, off_session=True)),
    ("exhaust", "confirm"): Recipe(confirming("pm_card_visa"), confirms=CONFIRMS_MAX),
    ("fail_authentication", "authenticate"): Recipe(authenticating("fail")),
    ("await_confirmation", "authenticate"): Recipe(authenticating("succeed"), {"confirmation_method": "manual"}),
    ("settle", "settle"): Recipe(settling("succeed")),
    ("bounce", "settle"): Recipe(settling("fail")),
    ("capture", "capture"): Recipe(capturing),
    ("cancel", "cancel"): Recipe(canceling),
    ("recall", "cancel"): Recipe(canceling),
    ("expire", "expire"): Recipe(waiting),
}
ANSWERED_402 = {("decline", "confirm"), ("refuse", "confirm")}
PATHS = [
    pytest.param(transition, operation, origin, id=f"{transition.name}-by-{operation}-from-{origin}")
    for transition in TRANSITIONS
    for operation in transition.operations
    for origin in STATUSES
    if origin in transition.origins and origin in ALLOWED_STATUSES[operation]
]
ILLEGAL = [
    (operation, status) for operation, legal in ALLOWED_STATUSES.items() for status in STATUSES if status not in legal
]


def declined_confirm(client: Any, intent: str, method: str) -> None:
    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.confirm(intent, {"payment_method": method})


def at(client: Any, status: str, recipe: Recipe) -> str:
    """Return the ID of a new intent in `status`, confirmed as often as the recipe says."""
    create: Callable[..., Any] = client.v1.payment_intents.create
    bare = {**BOTH, **recipe.params}
    if status == "requires_capture":
        return str(create({**bare, **MANUAL, "payment_method": "pm_card_visa", "confirm": True}).id)
    if status in ("processing", "succeeded"):
        method = "pm_card_visa" if status == "succeeded" else "pm_usBankAccount_processing"
        return str(create({**bare, "payment_method": method, "confirm": True}).id)
    intent = str(create(bare).id)
    for _ in range(recipe.confirms - (status == "requires_action")):
        declined_confirm(client, intent, BAD_CARD)
    if status == "requires_confirmation":
        client.v1.payment_intents.update(intent, {"payment_method": "pm_card_visa"})
    if status == "requires_action":
        client.v1.payment_intents.confirm(intent, {"payment_method": recipe.challenging_card})
    if status == "canceled":
        client.v1.payment_intents.cancel(intent)
    return intent


def newest_event(client: Any) -> str:
    return str(client.v1.events.list({"limit": 1}).data[0].id)


def events_about(client: Any, intent: str, after: str) -> list[str]:
    """Return the types of the events since `after` about an intent and its charges, oldest first.

    Leave out `charge.updated`: it follows the booking and is not part of the state machine.
    """
    since = client.v1.events.list({"limit": 100, "ending_before": after}).data
    return [
        event.type
        for event in reversed(since)
        if intent in (event.data.object.id, getattr(event.data.object, "payment_intent", None))
        and event.type != "charge.updated"
    ]


def status_of(client: Any, intent: str) -> str:
    return str(client.v1.payment_intents.retrieve(intent).status)


def test_transition_table_matches_the_documentation() -> None:
    assert {one.name: (one.status, one.events) for one in TRANSITIONS} == DOCUMENTED
    assert {(one.name, operation) for one in TRANSITIONS for operation in one.operations} == {
        *RECIPES,
        ("create", "create"),
        ("create_with_method", "create"),
    }


def test_final_statuses_have_no_transitions() -> None:
    assert not any({"succeeded", "canceled"} & one.origins for one in TRANSITIONS)


@pytest.mark.parametrize(("name", "made"), [("create", {}), ("create_with_method", {"payment_method": "pm_card_visa"})])
def test_new_intent_has_the_status_and_events_of_the_table(client: Any, name: str, made: dict[str, Any]) -> None:
    [transition] = [one for one in TRANSITIONS if one.name == name]

    client.v1.payment_intents.create(BOTH)
    before = newest_event(client)

    intent = client.v1.payment_intents.create({**BOTH, **made})

    assert intent.status == transition.status
    assert events_about(client, intent.id, before) == transition.events


@pytest.mark.parametrize(("transition", "operation", "origin"), PATHS)
def test_legal_transition_changes_the_status_and_generates_its_events(
    client: Any, sandbox: SandboxProcess, transition: Transition, operation: str, origin: str
) -> None:
    recipe = RECIPES[transition.name, operation]
    intent = at(client, origin, recipe)
    assert status_of(client, intent) == origin
    before, seq = newest_event(client), len(sandbox.ledger())

    declined = pytest.raises(stripe.CardError) if (transition.name, operation) in ANSWERED_402 else nullcontext()
    with declined:
        recipe.act(Shop(client, sandbox), intent)

    assert status_of(client, intent) == transition.status
    assert events_about(client, intent, before) == transition.events
    effects = [one["effect"] for one in sandbox.ledger(seq) if one["payment_intent"] == intent]
    assert effects[-1:] == [transition.effect] * (transition.effect is not None)


OPERATIONS: dict[str, Act] = {
    "confirm": confirming("pm_card_visa"),
    "update": updating(amount=2000),
    "capture": capturing,
    "cancel": canceling,
}
REJECTED = [one for one in ILLEGAL if one[0] != "expire"]


@pytest.mark.parametrize(("operation", "status"), REJECTED)
def test_illegal_operation_is_400_with_the_intent_and_changes_nothing(
    client: Any, sandbox: SandboxProcess, operation: str, status: str
) -> None:
    intent = at(client, status, Recipe(waiting))
    before, event, ledger = client.v1.payment_intents.retrieve(intent), newest_event(client), sandbox.ledger()

    error = error_of(client, sandbox, operation, intent)

    assert error["code"] == "payment_intent_unexpected_state"
    assert error["type"] == "invalid_request_error"
    assert error["payment_intent"]["id"] == intent
    assert error["payment_intent"]["status"] == status
    assert client.v1.payment_intents.retrieve(intent) == before
    assert events_about(client, intent, event) == []
    assert sandbox.ledger() == ledger


def error_of(client: Any, sandbox: SandboxProcess, operation: str, intent: str) -> dict[str, Any]:
    """Return the error of a rejected operation; the control API runs those of the bank and the customer."""
    if operation in ("authenticate", "settle"):
        url = f"{sandbox.base_url}/sandbox/payment_intents/{intent}/{operation}"
        body = json.dumps({"outcome": "succeed"}).encode()
        with pytest.raises(urllib.error.HTTPError) as caught_http:
            urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}))  # noqa: S310
        with caught_http.value as response:
            assert response.code == 400
            return dict(json.load(response)["error"])
    with pytest.raises(stripe.InvalidRequestError) as caught:
        OPERATIONS[operation](Shop(client, sandbox), intent)
    assert caught.value.http_status == 400
    return dict(json.loads(str(caught.value.http_body))["error"])


def test_only_authorizations_expire_with_time(client: Any, sandbox: SandboxProcess) -> None:
    """An intent that waits for a bank or a customer does not change with time."""
    waits = [status for operation, status in ILLEGAL if operation == "expire"]
    intents = {status: at(client, status, Recipe(waiting)) for status in waits}

    sandbox.advance(5 * WEEK_S)

    assert {status: status_of(client, intent) for status, intent in intents.items()} == {one: one for one in waits}


def test_processing_sepa_debit_cannot_be_canceled(client: Any) -> None:
    """Only US bank account debits can be canceled while processing."""
    sepa = client.v1.payment_intents.create(
        {
            "amount": 1000,
            "currency": "eur",
            "payment_method_types": ["sepa_debit"],
            "payment_method": "pm_success_de",
            "confirm": True,
        }
    )
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.cancel(sepa.id)
    assert caught.value.code == "payment_intent_unexpected_state"
    assert status_of(client, sepa.id) == "processing"


def test_too_many_confirmations_cancel_the_intent(client: Any) -> None:
    intent = at(client, "requires_payment_method", RECIPES["exhaust", "confirm"])

    canceled = client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})

    assert (canceled.status, canceled.cancellation_reason, canceled.amount_received) == ("canceled", "automatic", 0)
    assert canceled.canceled_at
    assert canceled.last_payment_error.decline_code == "generic_decline"
