"""Webhooks: signed, in an envelope, retried until 2xx, and out of order when asked."""

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
    "capture_method": "automatic",  # no `charge.updated` comes later
    "payment_method_types": ["card"],
    "payment_method": "pm_card_visa",
    "confirm": True,
}
PAID_EVENTS = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


@pytest.fixture
def listening(own_sandbox: SandboxProcess, receiver: Receiver) -> SandboxProcess:
    """A sandbox of this test that sends its events to `receiver`."""
    own_sandbox.start(receiver.url)
    return own_sandbox


def pay(sandbox: SandboxProcess, **more: Any) -> stripe.PaymentIntent:
    client: Any = sandbox.client()
    intent: stripe.PaymentIntent = client.v1.payment_intents.create(PAID, more)
    return intent


def test_events_come_signed_and_in_the_full_envelope(listening: SandboxProcess, receiver: Receiver) -> None:
    intent = pay(listening, idempotency_key="create:1")
    receiver.wait_for(*PAID_EVENTS)

    [event] = [one.event for one in receiver.deliveries if one.event.type == "payment_intent.succeeded"]
    assert (event.object, event.api_version, event.livemode) == ("event", "2026-08-26.dahlia", False)
    assert event.pending_webhooks == 1
    assert event.request is not None
    assert event.request.idempotency_key == "create:1"
    assert str(event.request.id).startswith("req_")
    assert (event.data.object.id, event.data.object.status) == (intent.id, "succeeded")


def test_an_event_keeps_the_object_as_it_was(listening: SandboxProcess, receiver: Receiver) -> None:
    pay(listening)
    receiver.wait_for(*PAID_EVENTS)

    [created] = [one.event for one in receiver.deliveries if one.event.type == "payment_intent.created"]
    assert created.data.object.status == "requires_confirmation"


def test_a_signature_under_another_secret_does_not_verify(listening: SandboxProcess, receiver: Receiver) -> None:
    pay(listening)
    receiver.wait_for(*PAID_EVENTS)
    delivery: Any = receiver.deliveries[0]

    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(delivery.payload, delivery.signature, "whsec_other")


def test_what_is_not_answered_2xx_comes_again_until_it_is(listening: SandboxProcess, receiver: Receiver) -> None:
    receiver.script = [500, 302, 400, 404, 503]
    pay(listening)
    receiver.wait_for(*PAID_EVENTS)

    assert Counter(one.answer for one in receiver.deliveries) == {500: 1, 302: 1, 400: 1, 404: 1, 503: 1, 200: 3}
    client: Any = listening.client()
    eventually(lambda: [event.pending_webhooks for event in client.v1.events.list().data] == [0, 0, 0])
    assert client.v1.events.list({"delivery_success": False}).data == []


def test_each_attempt_is_signed_at_its_own_time(listening: SandboxProcess, receiver: Receiver) -> None:
    receiver.script = [500, 500]
    listening.faults(webhooks={"drop": ["charge.*", "payment_intent.created"]})
    pay(listening)
    receiver.wait_for("payment_intent.succeeded")

    assert len({one.payload for one in receiver.deliveries}) == 1
    times = [int(one.signature.split(",")[0].removeprefix("t=")) for one in receiver.deliveries]
    assert len(times) == 3
    assert times[-1] > times[0]


def test_events_that_nobody_took_are_delivered_by_the_next_process(
    own_sandbox: SandboxProcess, receiver: Receiver
) -> None:
    own_sandbox.start("http://127.0.0.1:9/nobody")
    pay(own_sandbox)
    own_sandbox.kill()

    own_sandbox.start(receiver.url)

    receiver.wait_for(*PAID_EVENTS)


def test_virtual_time_brings_retries_forward_and_leaves_signatures_valid(
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


def test_an_event_can_be_duplicated(listening: SandboxProcess, receiver: Receiver) -> None:
    listening.faults(webhooks={"duplicate": 2})
    pay(listening)

    receiver.wait_for(*PAID_EVENTS * 3)
    assert len({one.event.id for one in receiver.deliveries}) == 3


def test_an_event_that_was_dropped_is_listed_and_can_be_sent_again(
    listening: SandboxProcess, receiver: Receiver
) -> None:
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


def test_an_event_can_arrive_before_the_answer_that_caused_it(listening: SandboxProcess, receiver: Receiver) -> None:
    listening.faults(webhooks={"before_response": True})

    pay(listening)

    assert sorted(receiver.accepted) == sorted(PAID_EVENTS)


def test_the_endpoint_is_shown_without_its_secret(listening: SandboxProcess, receiver: Receiver) -> None:
    client: Any = listening.client()
    [endpoint] = client.v1.webhook_endpoints.list().data

    assert (endpoint.url, endpoint.enabled_events, endpoint.status) == (receiver.url, ["*"], "enabled")
    assert endpoint.api_version == "2026-08-26.dahlia"
    assert WEBHOOK_SECRET not in str(endpoint)


def test_events_are_listed_newest_first_by_type(listening: SandboxProcess) -> None:
    pay(listening)
    client: Any = listening.client()

    def listed(**params: Any) -> list[str]:
        return [event.type for event in client.v1.events.list(params).data]

    assert listed() == PAID_EVENTS[::-1]
    assert listed(type="payment_intent.*") == ["payment_intent.succeeded", "payment_intent.created"]
    assert listed(types=["charge.succeeded", "charge.failed"]) == ["charge.succeeded"]
    oldest = client.v1.events.list().data[-1]
    assert listed(ending_before=oldest.id, limit=1) == ["charge.succeeded"]
