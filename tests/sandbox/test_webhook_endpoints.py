"""Webhook endpoints in the API: creation, update, deletion and secret rotation."""

from __future__ import annotations

import json
from typing import Any

import pytest
import stripe

from stripe_sandbox.resources.event_types import EVENT_TYPES
from tests.sandbox.conftest import Receiver
from tests.sandbox.contract import DESCRIPTION
from tests.support.eventually import eventually
from tests.support.sandbox import SandboxProcess

INTENT: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}
PAY: dict[str, Any] = {"confirm": True, "payment_method": "pm_card_visa"}
HOOK: dict[str, Any] = {"url": "http://127.0.0.1:9/nobody", "enabled_events": ["*"]}
DAY_S = 24 * 3600


@pytest.fixture(autouse=True)
def no_endpoints(client: Any) -> None:
    for endpoint in client.v1.webhook_endpoints.list({"limit": 100}).data:
        client.v1.webhook_endpoints.delete(endpoint.id)


def hook(client: Any, receiver: Receiver, **more: Any) -> Any:
    """Create an endpoint for the receiver and give the receiver its secret."""
    endpoint = client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"], **more})
    receiver.secret = endpoint.secret
    return endpoint


def rejected(call: Any, *args: Any) -> tuple[int | None, str | None, str]:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        call(*args)
    return caught.value.http_status, caught.value.param, str(caught.value.user_message)


def test_secret_is_returned_only_on_creation(client: Any) -> None:
    made = client.v1.webhook_endpoints.create({**HOOK, "description": "shop", "metadata": {"team": "a"}})

    assert made.secret.startswith("whsec_")
    assert (made.url, made.enabled_events, made.status) == (HOOK["url"], ["*"], "enabled")
    assert (made.description, made.metadata["team"], made.api_version) == ("shop", "a", None)
    [listed] = client.v1.webhook_endpoints.list().data
    changed = client.v1.webhook_endpoints.update(made.id, {"description": "other"})
    read = client.v1.webhook_endpoints.retrieve(made.id)
    assert [made.secret in str(one) or "secret" in one for one in (listed, changed, read)] == [False] * 3


def test_update_changes_only_the_given_fields(client: Any) -> None:
    made = client.v1.webhook_endpoints.create({**HOOK, "metadata": {"a": "1", "b": "2"}})
    params = {"enabled_events": ["charge.failed"], "disabled": True, "metadata": {"a": ""}, "url": "http://x.test/"}
    changed = client.v1.webhook_endpoints.update(made.id, params)

    assert (changed.enabled_events, changed.status, changed.url) == (["charge.failed"], "disabled", "http://x.test/")
    assert changed.metadata.to_dict() == {"b": "2"}
    again = client.v1.webhook_endpoints.update(made.id, {"disabled": False})
    assert again.to_dict() == {**changed.to_dict(), "status": "enabled"}


def test_deleted_endpoint_is_not_found(client: Any) -> None:
    made = client.v1.webhook_endpoints.create(HOOK)

    gone = client.v1.webhook_endpoints.delete(made.id)

    assert gone.to_dict() == {"id": made.id, "object": "webhook_endpoint", "deleted": True}
    assert client.v1.webhook_endpoints.list().data == []
    for call in (client.v1.webhook_endpoints.retrieve, client.v1.webhook_endpoints.delete):
        status, _, message = rejected(call, made.id)
        assert (status, message) == (404, f"No such webhook endpoint: '{made.id}'")


def test_at_most_sixteen_endpoints_are_accepted(client: Any) -> None:
    made = [client.v1.webhook_endpoints.create(HOOK) for _ in range(16)]

    assert rejected(client.v1.webhook_endpoints.create, HOOK)[0] == 400
    client.v1.webhook_endpoints.delete(made[0].id)
    client.v1.webhook_endpoints.create(HOOK)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"enabled_events": ["charge.failed", "charge.exploded"]}, "enabled_events[1]"),
        ({"enabled_events": ["charge.*"]}, "enabled_events[0]"),
        ({"url": "shop.test/webhooks"}, "url"),
        ({"url": "ftp://shop.test/webhooks"}, "url"),
        ({"api_version": "latest"}, "api_version"),
    ],
)
def test_invalid_endpoint_is_rejected(client: Any, wrong: dict[str, Any], param: str) -> None:
    assert rejected(client.v1.webhook_endpoints.create, {**HOOK, **wrong})[:2] == (400, param)
    assert client.v1.webhook_endpoints.list().data == []


@pytest.mark.skipif(
    not DESCRIPTION.is_file(), reason="STRIPE_OPENAPI does not name a copy of Stripe's OpenAPI description"
)
def test_supported_event_types_match_the_openapi_description() -> None:
    operation = json.loads(DESCRIPTION.read_text())["paths"]["/v1/webhook_endpoints"]["post"]
    [form] = operation["requestBody"]["content"].values()
    assert set(form["schema"]["properties"]["enabled_events"]["items"]["enum"]) == EVENT_TYPES


def test_endpoint_receives_only_its_enabled_event_types(client: Any, receiver: Receiver) -> None:
    hook(client, receiver, enabled_events=["payment_intent.canceled"])
    other = Receiver()
    receiver_secret, _ = receiver.secret, hook(client, other)
    assert receiver_secret != other.secret
    try:
        intent = client.v1.payment_intents.create(INTENT)
        client.v1.payment_intents.cancel(intent.id)
        other.wait_for("payment_intent.created", "payment_intent.canceled")
        receiver.wait_for("payment_intent.canceled")
    finally:
        other.close()
    assert receiver.accepted == ["payment_intent.canceled"]
    eventually(lambda: client.v1.events.list({"delivery_success": False, "limit": 1}).data == [])


def test_pending_webhooks_counts_endpoints_without_a_successful_delivery(client: Any, receiver: Receiver) -> None:
    hook(client, receiver)
    client.v1.webhook_endpoints.create(HOOK)

    client.v1.payment_intents.create(INTENT)

    receiver.wait_for("payment_intent.created")
    assert receiver.deliveries[0].event.pending_webhooks == 2
    eventually(lambda: client.v1.events.list({"limit": 1}).data[0].pending_webhooks == 1)
    assert len(client.v1.events.list({"delivery_success": False, "limit": 1}).data) == 1


def test_endpoint_receives_events_in_its_api_version(client: Any, receiver: Receiver) -> None:
    hook(client, receiver, api_version="2025-03-31.basil")

    client.v1.payment_intents.create(INTENT)

    receiver.wait_for("payment_intent.created")
    assert receiver.deliveries[0].event.api_version == "2025-03-31.basil"
    assert client.v1.events.list({"limit": 1}).data[0].api_version == "2026-08-26.dahlia"


RELEASES = {
    "2025-02-24.acacia": ["charge.captured", "refund.created", "charge.refunded"],
    "2024-06-20": ["charge.captured", "charge.refunded"],  # refund.* of charges: changelog 2024-10-28.acacia
    "2025-03-31.basil": ["charge.captured"],
    None: ["charge.captured"],
}


@pytest.mark.parametrize("version", RELEASES)
def test_a_partial_capture_makes_a_refund_only_in_versions_before_basil(
    client: Any, receiver: Receiver, version: str | None
) -> None:
    """`changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow`."""
    hook(client, receiver, **({"api_version": version} if version else {}))
    held = client.v1.payment_intents.create({**INTENT, "capture_method": "manual", **PAY})
    client.v1.payment_intents.capture(held.id, {"amount_to_capture": 400})

    receiver.wait_for("payment_intent.succeeded", *RELEASES[version])
    seen = {delivery.event.type: delivery.event.data.object for delivery in receiver.deliveries}
    assert {kind for kind in seen if "refund" in kind} == {kind for kind in RELEASES[version] if "refund" in kind}
    old = "charge.refunded" in seen
    assert seen["charge.captured"].amount_refunded == (600 if old else 0)
    if old:
        assert (seen["charge.refunded"].amount_captured, seen["charge.refunded"].amount_refunded) == (400, 600)
    if "refund.created" in seen:
        refund = seen["refund.created"]
        assert (refund.amount, refund.reason, refund.metadata.to_dict()) == (600, None, {})
    assert client.v1.refunds.list({"payment_intent": held.id}).data == [], "our version does not list it"
    assert client.v1.events.list({"type": "*refund*", "created": {"gte": held.created}}).data == []


@pytest.mark.parametrize(("version", "reason"), [("2025-02-24.acacia", "automatic"), (None, "expired")])
def test_an_expired_authorization_has_the_reason_of_the_version(
    client: Any, sandbox: SandboxProcess, receiver: Receiver, version: str | None, reason: str
) -> None:
    hook(client, receiver, **({"api_version": version} if version else {}))
    client.v1.payment_intents.create({**INTENT, "capture_method": "manual", **PAY})
    sandbox.advance(8 * DAY_S)

    receiver.wait_for("charge.expired", "payment_intent.canceled")
    seen = {delivery.event.type: delivery.event.data.object for delivery in receiver.deliveries}
    assert seen["payment_intent.canceled"].cancellation_reason == reason
    charge = seen["charge.expired"]
    shown = (charge.amount_captured, charge.amount_refunded, charge.refunded)
    assert shown == ((None, 1000, True) if version else (0, 0, False))


def test_old_and_new_secret_are_both_valid_for_a_day(sandbox: SandboxProcess, client: Any, receiver: Receiver) -> None:
    old = hook(client, receiver)
    rolled = sandbox.control("POST", f"/sandbox/webhook_endpoints/{old.id}/roll", {})
    receiver.secret = rolled["secret"]

    client.v1.payment_intents.create(INTENT)
    receiver.wait_for("payment_intent.created")
    assert [receiver.deliveries[0].verifies(secret) for secret in (old.secret, rolled["secret"])] == [True, True]

    sandbox.advance(DAY_S)
    client.v1.payment_intents.create(INTENT)
    receiver.wait_for("payment_intent.created", "payment_intent.created")
    assert [receiver.deliveries[1].verifies(secret) for secret in (old.secret, rolled["secret"])] == [False, True]
    assert "secret" not in client.v1.webhook_endpoints.retrieve(old.id)


def test_old_secret_can_expire_immediately(sandbox: SandboxProcess, client: Any, receiver: Receiver) -> None:
    old = hook(client, receiver)
    rolled = sandbox.control("POST", f"/sandbox/webhook_endpoints/{old.id}/roll", {"expires_in_s": 0})
    receiver.secret = rolled["secret"]

    client.v1.payment_intents.create(INTENT)

    receiver.wait_for("payment_intent.created")
    assert not receiver.deliveries[0].verifies(old.secret)
