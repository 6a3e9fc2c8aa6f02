"""Webhook faults: matching, limits and seeds."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from tests.sandbox.conftest import Delivery, Receiver
from tests.support.eventually import eventually
from tests.support.sandbox import WEBHOOK_SECRET, SandboxProcess

PAID: dict[str, Any] = {
    "amount": 1000,
    "capture_method": "automatic",
    "currency": "usd",
    "payment_method_types": ["card"],
    "payment_method": "pm_card_visa",
    "confirm": True,
}
OPEN: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}
PAID_EVENTS = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
HOUR_MS = 3_600_000


@pytest.fixture
def listening(sandbox: SandboxProcess, receiver: Receiver) -> SandboxProcess:
    """The module's sandbox, with events sent to this test's receiver."""
    sandbox.set_webhook(receiver.url)
    return sandbox


def rules(sandbox: SandboxProcess, *rules: dict[str, Any], **more: Any) -> None:
    sandbox.faults(webhooks={"rules": list(rules), **more})


def injected_counts(sandbox: SandboxProcess) -> list[int]:
    shown = sandbox.control("GET", "/sandbox/faults")["webhooks"]["rules"]
    return [rule["injected"] for rule in shown]


def listed_types(client: Any, intent: Any) -> list[str]:
    """Return the types of the listed events about an intent and its charge."""
    subjects = {intent.id, intent.latest_charge}
    return sorted(e.type for e in client.v1.events.list({"limit": 20}).data if e.data.object.id in subjects)


def delays(sandbox: SandboxProcess, count: int) -> list[float]:
    """Return the delays of the latest deliveries in seconds, in the order of their events."""
    data = sandbox.control("GET", f"/sandbox/deliveries?limit={count}")["data"]
    return [round(row["due"] - row["planned"], 3) for row in reversed(data)]


def only(deliveries: list[Delivery]) -> Delivery:
    [delivery] = deliveries
    return delivery


def test_event_can_be_suppressed(listening: SandboxProcess, client: Any, receiver: Receiver) -> None:
    listening.faults(webhooks={"never_generated": ["payment_intent.succeeded"]})

    intent = client.v1.payment_intents.create(PAID)

    receiver.wait_for("payment_intent.created", "charge.succeeded")
    assert listed_types(client, intent) == ["charge.succeeded", "payment_intent.created"]
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_occurrence_can_generate_two_events(listening: SandboxProcess, client: Any, receiver: Receiver) -> None:
    listening.faults(webhooks={"twins": ["charge.*"]})

    intent = client.v1.payment_intents.create(PAID)

    receiver.wait_for(*PAID_EVENTS, "charge.succeeded")
    twins = [one.event for one in receiver.deliveries if one.event.type == "charge.succeeded"]
    assert len({event.id for event in twins}) == 2
    assert twins[0].data.to_dict() == twins[1].data.to_dict()
    assert listed_types(client, intent).count("charge.succeeded") == 2


def test_webhook_fault_can_match_the_metadata_of_a_payment(
    listening: SandboxProcess, client: Any, receiver: Receiver
) -> None:
    """Events of the charge match too, because they belong to the same payment."""
    rules(listening, {"action": "drop", "metadata": {"order_id": "7"}})

    client.v1.payment_intents.create({**PAID, "metadata": {"order_id": "7"}})
    other = client.v1.payment_intents.create({**PAID, "metadata": {"order_id": "8"}})

    receiver.wait_for(*PAID_EVENTS)
    assert {one.event.data.object.metadata["order_id"] for one in receiver.deliveries} == {"8"}
    assert other.id in str([one.payload for one in receiver.deliveries])
    assert injected_counts(listening) == [3]


def test_webhook_fault_can_be_limited_to_a_number_of_times(
    listening: SandboxProcess, client: Any, receiver: Receiver
) -> None:
    rules(listening, {"action": "drop", "types": ["payment_intent.created"], "times": 1})
    first, second = (client.v1.payment_intents.create(OPEN) for _ in range(2))

    receiver.wait_for("payment_intent.created")

    assert only(receiver.deliveries).event.data.object.id == second.id != first.id
    [rule] = listening.control("GET", "/sandbox/faults")["webhooks"]["rules"]
    assert (rule["injected"], rule["left"]) == (1, 0)


def test_events_of_one_type_can_be_delayed(listening: SandboxProcess, client: Any, receiver: Receiver) -> None:
    rules(listening, {"action": "delay", "types": ["payment_intent.created"], "delay_ms": HOUR_MS})
    client.v1.payment_intents.create(PAID)

    receiver.wait_for("charge.succeeded", "payment_intent.succeeded")
    assert "payment_intent.created" not in receiver.accepted
    listening.advance(3600)
    receiver.wait_for(*PAID_EVENTS)


def test_events_of_one_type_can_be_duplicated_with_a_delay(
    listening: SandboxProcess, client: Any, receiver: Receiver
) -> None:
    rules(listening, {"action": "duplicate", "types": ["charge.*"], "delay_ms": HOUR_MS})
    client.v1.payment_intents.create(PAID)

    receiver.wait_for(*PAID_EVENTS)
    assert len(receiver.deliveries) == 3
    listening.advance(3600)
    receiver.wait_for(*PAID_EVENTS, "charge.succeeded")
    assert Counter(one.event.id for one in receiver.deliveries).most_common(1)[0][1] == 2


def test_same_seed_repeats_the_random_order_of_events(
    listening: SandboxProcess, client: Any, receiver: Receiver
) -> None:
    def drawn(seed: int) -> list[float]:
        listening.faults(webhooks={"reorder_ms": HOUR_MS, "seed": seed})
        client.v1.payment_intents.create(PAID)
        return delays(listening, 3)

    first, other, again = drawn(1), drawn(2), drawn(1)

    assert first == again != other
    assert len(set(first)) == 3
    listening.advance(3600)
    receiver.wait_for(*PAID_EVENTS * 3)


def test_events_arrive_in_the_drawn_order(listening: SandboxProcess, client: Any, receiver: Receiver) -> None:
    listening.faults(webhooks={"reorder_ms": HOUR_MS, "seed": 3})
    client.v1.payment_intents.create(PAID)
    drawn = sorted(zip(delays(listening, 3), PAID_EVENTS, strict=True))
    assert [kind for _, kind in drawn] != PAID_EVENTS

    passed = 0.0
    for wait, kind in drawn:
        listening.advance(max(0.0, wait - passed))
        passed = wait
        receiver.wait_for(kind)

    assert receiver.accepted == [kind for _, kind in drawn]


def test_same_seed_drops_the_same_events(listening: SandboxProcess, client: Any) -> None:
    def dropped(seed: int) -> list[bool]:
        rules(listening, {"action": "drop", "probability": 0.5}, seed=seed)
        for _ in range(20):
            client.v1.payment_intents.create(OPEN)
        data = listening.control("GET", "/sandbox/deliveries?limit=20")["data"]
        return [row["state"] == "dropped" for row in data]

    first, again = dropped(5), dropped(5)

    assert first == again
    assert 0 < sum(first) < 20


@pytest.mark.parametrize("action", ["bad_signature", "old_secret"])
def test_retry_after_a_bad_signature_is_signed_correctly(
    listening: SandboxProcess, client: Any, receiver: Receiver, action: str
) -> None:
    receiver.statuses = [400, 400]
    rules(listening, {"action": action, "attempts": 2})
    client.v1.payment_intents.create(OPEN)

    eventually(lambda: len(receiver.deliveries) == 3)

    assert [one.verifies(WEBHOOK_SECRET) for one in receiver.deliveries] == [False, False, True]


def test_signature_timestamp_can_be_stale(listening: SandboxProcess, client: Any, receiver: Receiver) -> None:
    receiver.statuses = [400]
    rules(listening, {"action": "stale_timestamp"})
    client.v1.payment_intents.create(OPEN)

    eventually(lambda: len(receiver.deliveries) == 2)

    stamped = [int(one.signature.split(",")[0].removeprefix("t=")) for one in receiver.deliveries]
    assert [one.verifies(WEBHOOK_SECRET) for one in receiver.deliveries] == [False, True]
    assert stamped[0] < time.time() - 3000


def test_old_secret_fault_signs_with_the_secret_before_the_last_roll(
    listening: SandboxProcess, client: Any, receiver: Receiver
) -> None:
    [endpoint] = client.v1.webhook_endpoints.list().data
    listening.control("POST", f"/sandbox/webhook_endpoints/{endpoint.id}/roll", {"expires_in_s": 0})
    rules(listening, {"action": "old_secret"})

    client.v1.payment_intents.create(OPEN)

    eventually(lambda: len(receiver.deliveries) == 1)
    assert receiver.deliveries[0].verifies(WEBHOOK_SECRET)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rules": [{"action": "explode"}]},
        {"rules": [{"action": "drop", "type": ["charge.*"]}]},
        {"duplicate": -1},
        {"drop": "charge.*"},
    ],
)
def test_invalid_plan_is_rejected_and_changes_nothing(sandbox: SandboxProcess, wrong: Any) -> None:
    sandbox.faults(webhooks={"duplicate": 3})

    with pytest.raises(AssertionError, match="webhooks"):
        sandbox.faults(webhooks=wrong)

    assert sandbox.control("GET", "/sandbox/faults")["webhooks"]["duplicate"] == 3
