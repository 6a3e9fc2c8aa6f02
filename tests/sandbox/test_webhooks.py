"""Webhook deliveries: content, signatures, retries, resends and faults."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Receiver
from tests.support.eventually import eventually
from tests.support.sandbox import WEBHOOK_SECRET, SandboxProcess

PAID: dict[str, Any] = {
    "amount": 1000,
    "currency": "usd",
    "capture_method": "automatic",  # avoids a later `charge.updated`
    "payment_method_types": ["card"],
    "payment_method": "pm_card_visa",
    "confirm": True,
}
PAID_EVENTS = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]

OPEN: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}
HOUR_S = 3600
DAY_S = 24 * HOUR_S


@pytest.fixture
def listening(own_sandbox: SandboxProcess, receiver: Receiver) -> SandboxProcess:
    """A sandbox for one test that sends its events to `receiver`."""
    own_sandbox.start(receiver.url)
    return own_sandbox


def pay(sandbox: SandboxProcess, **more: Any) -> stripe.PaymentIntent:
    client: Any = sandbox.client()
    intent: stripe.PaymentIntent = client.v1.payment_intents.create(PAID, more)
    return intent


def late_event(sandbox: SandboxProcess) -> Any:
    """Return an event whose first delivery attempt is due in an hour."""
    sandbox.faults(webhooks={"delay_ms": HOUR_S * 1000})
    client: Any = sandbox.client()
    client.v1.payment_intents.create(OPEN)
    sandbox.faults()
    return client.v1.events.list({"limit": 1}).data[0]


def deliveries(sandbox: SandboxProcess, event: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = sandbox.control("GET", f"/sandbox/events/{event.id}/deliveries")["data"]
    return rows


def test_webhook_contains_a_signed_event_with_all_fields(listening: SandboxProcess, receiver: Receiver) -> None:
    intent = pay(listening, idempotency_key="create:1")
    receiver.wait_for(*PAID_EVENTS)

    [event] = [one.event for one in receiver.deliveries if one.event.type == "payment_intent.succeeded"]
    assert (event.object, event.api_version, event.livemode) == ("event", "2026-08-26.dahlia", False)
    assert event.pending_webhooks == 1
    assert event.request is not None
    assert event.request.idempotency_key == "create:1"
    assert str(event.request.id).startswith("req_")
    assert (event.data.object.id, event.data.object.status) == (intent.id, "succeeded")


def test_event_contains_a_snapshot_of_the_object(listening: SandboxProcess, receiver: Receiver) -> None:
    pay(listening)
    receiver.wait_for(*PAID_EVENTS)

    [created] = [one.event for one in receiver.deliveries if one.event.type == "payment_intent.created"]
    assert created.data.object.status == "requires_confirmation"


def test_signature_does_not_verify_with_another_secret(listening: SandboxProcess, receiver: Receiver) -> None:
    pay(listening)
    receiver.wait_for(*PAID_EVENTS)
    delivery: Any = receiver.deliveries[0]

    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(delivery.payload, delivery.signature, "whsec_other")


def test_delivery_is_retried_until_a_2xx_response(listening: SandboxProcess, receiver: Receiver) -> None:
    receiver.statuses = [500, 302, 400, 404, 503]
    pay(listening)
    receiver.wait_for(*PAID_EVENTS)

    assert Counter(one.status for one in receiver.deliveries) == {500: 1, 302: 1, 400: 1, 404: 1, 503: 1, 200: 3}
    assert {one.path for one in receiver.deliveries} == {"/webhooks"}
    client: Any = listening.client()
    eventually(lambda: [event.pending_webhooks for event in client.v1.events.list().data] == [0, 0, 0])
    assert client.v1.events.list({"delivery_success": False}).data == []


def test_each_attempt_is_signed_with_its_own_timestamp(listening: SandboxProcess, receiver: Receiver) -> None:
    receiver.statuses = [500, 500]
    listening.faults(webhooks={"drop": ["charge.*", "payment_intent.created"]})
    pay(listening)
    receiver.wait_for("payment_intent.succeeded")

    assert len({one.payload for one in receiver.deliveries}) == 1
    times = [int(one.signature.split(",")[0].removeprefix("t=")) for one in receiver.deliveries]
    assert len(times) == 3
    assert times[-1] > times[0]


def test_undelivered_events_are_delivered_after_a_restart(own_sandbox: SandboxProcess, receiver: Receiver) -> None:
    own_sandbox.start("http://127.0.0.1:9/nobody")
    pay(own_sandbox)
    own_sandbox.kill()

    own_sandbox.start(receiver.url)

    receiver.wait_for(*PAID_EVENTS)


def test_advancing_the_clock_triggers_retries_with_valid_signatures(
    own_sandbox: SandboxProcess, receiver: Receiver
) -> None:
    own_sandbox.start(receiver.url)
    own_sandbox.faults(webhooks={"delay_ms": 3_600_000})
    pay(own_sandbox)
    assert receiver.deliveries == []

    own_sandbox.advance(3600)

    receiver.wait_for(*PAID_EVENTS)
    stamped = int(receiver.deliveries[0].signature.split(",")[0].removeprefix("t="))
    assert abs(stamped - time.time()) < 300


def test_event_can_be_duplicated(listening: SandboxProcess, receiver: Receiver) -> None:
    listening.faults(webhooks={"duplicate": 2})
    pay(listening)

    receiver.wait_for(*PAID_EVENTS * 3)
    assert len({one.event.id for one in receiver.deliveries}) == 3


def test_dropped_event_is_listed_and_can_be_resent(listening: SandboxProcess, receiver: Receiver) -> None:
    listening.faults(webhooks={"drop": ["payment_intent.succeeded"]})
    pay(listening)
    receiver.wait_for("payment_intent.created", "charge.succeeded")
    client: Any = listening.client()
    [missing] = client.v1.events.list({"delivery_success": False}).data
    assert missing.type == "payment_intent.succeeded"
    assert missing.type not in receiver.accepted

    listening.faults()
    listening.resend(missing.id)

    receiver.wait_for("payment_intent.succeeded")


def test_event_can_arrive_before_the_response_that_caused_it(listening: SandboxProcess, receiver: Receiver) -> None:
    listening.faults(webhooks={"before_response": True})

    pay(listening)

    assert sorted(receiver.accepted) == sorted(PAID_EVENTS)


def test_resend_does_not_stop_automatic_retries(listening: SandboxProcess, receiver: Receiver) -> None:
    event = late_event(listening)
    listening.resend(event.id)
    receiver.wait_for("payment_intent.created")
    client: Any = listening.client()
    eventually(lambda: client.v1.events.retrieve(event.id).pending_webhooks == 0)
    assert [one["state"] for one in deliveries(listening, event)] == ["pending", "delivered"]

    listening.advance(HOUR_S)

    receiver.wait_for("payment_intent.created", "payment_intent.created")
    assert {one.event.id for one in receiver.deliveries} == {event.id}


def test_failed_resend_is_not_retried(listening: SandboxProcess, receiver: Receiver) -> None:
    receiver.statuses = [500]
    event = late_event(listening)
    listening.resend(event.id)

    eventually(lambda: deliveries(listening, event)[1]["state"] == "failed")

    assert [one["automatic"] for one in deliveries(listening, event)] == [True, False]
    client: Any = listening.client()
    assert client.v1.events.retrieve(event.id).pending_webhooks == 1


def test_delivery_lists_its_attempts(listening: SandboxProcess, receiver: Receiver) -> None:
    """Each attempt shows the start of the response, but not the signature's digest."""
    receiver.statuses = [500]
    receiver.response_body = b"no such order " * 200_000
    client: Any = listening.client()
    intent = client.v1.payment_intents.create(OPEN)
    receiver.wait_for("payment_intent.created")
    event: Any = receiver.deliveries[0].event
    eventually(lambda: deliveries(listening, event)[0]["state"] == "delivered")

    [delivery] = deliveries(listening, event)
    assert (delivery["type"], delivery["url"], delivery["due"]) == ("payment_intent.created", receiver.url, None)
    assert delivery["request"] == event.request.id == intent.last_response.request_id
    assert [(one["status"], one["error"]) for one in delivery["attempts"]] == [(500, None), (200, None)]
    assert {one["body"] for one in delivery["attempts"]} == {receiver.response_body[:500].decode()}
    stamp, _, digest = receiver.deliveries[1].signature.partition(",v1=")
    assert delivery["attempts"][1]["signature"].startswith(stamp)
    assert digest not in str(delivery)
    assert delivery["attempts"][0]["at"] < delivery["attempts"][1]["at"]
    assert all(isinstance(one["duration_ms"], int) for one in delivery["attempts"])


def test_deliveries_are_listed_by_endpoint_and_state(listening: SandboxProcess, receiver: Receiver) -> None:
    client: Any = listening.client()
    dead = client.v1.webhook_endpoints.create({"url": "http://127.0.0.1:9/nobody", "enabled_events": ["*"]})
    pay(listening)
    receiver.wait_for(*PAID_EVENTS)

    def listed(query: str) -> list[str]:
        page = listening.control("GET", f"/sandbox/deliveries?{query}")
        return [one["type"] for one in page["data"]]

    eventually(lambda: listed("state=delivered") == PAID_EVENTS[::-1])
    assert listed(f"endpoint={dead.id}&state=pending") == PAID_EVENTS[::-1]
    assert listed(f"endpoint={dead.id}&limit=1") == PAID_EVENTS[-1:]
    assert len(listed("")) == 6
    with pytest.raises(AssertionError, match="limit"):
        listed("limit=0")
    with pytest.raises(AssertionError, match="state"):
        listed("state=lost")


def test_latest_ten_attempts_survive_a_restart(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start("http://127.0.0.1:9/nobody")
    client: Any = own_sandbox.client()
    client.v1.payment_intents.create(OPEN)
    [event] = client.v1.events.list().data

    def made(attempts: int) -> bool:
        own_sandbox.advance(20)
        return bool(deliveries(own_sandbox, event)[0]["attempts_made"] >= attempts)

    eventually(lambda: made(11))
    own_sandbox.kill()
    own_sandbox.start()

    [delivery] = deliveries(own_sandbox, event)
    assert (len(delivery["attempts"]), delivery["state"]) == (10, "pending")
    assert delivery["attempts_made"] >= 11
    assert {(one["status"], one["error"]) for one in delivery["attempts"]} == {(None, "ClientConnectorError")}


def test_delivery_is_abandoned_after_three_days(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start("http://127.0.0.1:9/nobody")
    client: Any = own_sandbox.client()
    client.v1.payment_intents.create(OPEN)
    [event] = client.v1.events.list().data
    assert event.pending_webhooks == 1

    own_sandbox.advance(3 * DAY_S)

    eventually(lambda: deliveries(own_sandbox, event)[0]["state"] == "abandoned")
    assert client.v1.events.retrieve(event.id).pending_webhooks == 0
    assert [one.id for one in client.v1.events.list({"delivery_success": False}).data] == [event.id]


def test_retries_stop_if_the_endpoint_is_disabled_when_one_is_due(
    listening: SandboxProcess, receiver: Receiver
) -> None:
    """Nothing is lost if it is enabled again before: https://docs.stripe.com/webhooks#disable."""
    client: Any = listening.client()
    [endpoint] = client.v1.webhook_endpoints.list().data
    stopped = late_event(listening)
    client.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    listening.advance(HOUR_S)
    eventually(lambda: deliveries(listening, stopped)[0]["state"] == "stopped")

    client.v1.webhook_endpoints.update(endpoint.id, {"disabled": False})
    kept = late_event(listening)
    client.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    client.v1.webhook_endpoints.update(endpoint.id, {"disabled": False})
    listening.advance(HOUR_S)

    receiver.wait_for("payment_intent.created")
    assert [one.event.id for one in receiver.deliveries] == [kept.id]
    assert client.v1.events.retrieve(stopped.id).pending_webhooks == 0


def test_retries_stop_if_the_endpoint_is_deleted(listening: SandboxProcess, receiver: Receiver) -> None:
    client: Any = listening.client()
    [endpoint] = client.v1.webhook_endpoints.list().data
    event = late_event(listening)
    client.v1.webhook_endpoints.delete(endpoint.id)

    listening.advance(HOUR_S)

    eventually(lambda: deliveries(listening, event)[0]["state"] == "stopped")
    assert deliveries(listening, event)[0]["url"] is None
    assert receiver.deliveries == []


def test_endpoint_of_the_command_line_is_listed_without_its_secret(
    listening: SandboxProcess, receiver: Receiver
) -> None:
    client: Any = listening.client()
    [endpoint] = client.v1.webhook_endpoints.list().data

    assert (endpoint.url, endpoint.enabled_events, endpoint.status) == (receiver.url, ["*"], "enabled")
    assert endpoint.api_version == "2026-08-26.dahlia"
    assert WEBHOOK_SECRET not in str(endpoint)
