"""The provider is read before anything irreversible is done on our own row alone (I14).

Each test is a way in which our row can be older than the truth: a lost webhook, a restored backup, a wrong clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payment_service.db.clock import database_time
from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.timers.expiry import Expiry
from tests.support.eventually import eventually_async
from tests.support.flows import cancelled, inbound_record, name_of, order
from tests.support.harness import Harness
from tests.support.sandbox import SandboxProcess

DAY = timedelta(hours=25)


def effects(sandbox: SandboxProcess) -> list[str]:
    return [entry["effect"] for entry in sandbox.ledger()]


async def intent_status(harness: Harness, order_id: str = "o-1") -> str:
    """Return the status of the order's only intent at the provider."""
    client: Any = harness.sandbox.client()
    intents = [i for i in client.v1.payment_intents.list().data if i.metadata["order_id"] == order_id]
    assert len(intents) == 1
    return str(intents[0].status)


async def authorize_without_webhook(harness: Harness) -> None:
    intent_id = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"})


async def restore_without_orders(harness: Harness) -> None:
    """Bring back the moment before any order came."""
    await harness.flows.pool.execute(
        "TRUNCATE payments, operations, payment_events, payment_history, outbox, outbox_pending CASCADE"
    )


@pytest.mark.invariant("I14")
async def test_expiry_releases_nothing_that_a_customer_has_authorized(harness: Harness) -> None:
    await harness.flows.accept("o-1", capture_method="manual")
    await harness.flows.run_calls()
    await authorize_without_webhook(harness)
    harness.flows.clock.ahead = DAY
    assert await Expiry(harness.context()).expire_once() == 1
    await harness.flows.run_calls()
    assert await intent_status(harness) == "requires_capture"
    assert (await harness.flows.payment("o-1"))["status"] == "authorized"
    cancel = await harness.flows.operation("o-1", "cancel")
    assert (cancel["state"], cancel["outcome"], cancel["outcome_code"]) == ("refused", "not_unpaid", "authorized")


@pytest.mark.invariant("I14")
async def test_expiry_of_a_paid_order_sends_no_cancel(harness: Harness) -> None:
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    await authorize_without_webhook(harness)
    harness.flows.clock.ahead = DAY
    await Expiry(harness.context()).expire_once()
    await harness.flows.run_calls()
    assert (await harness.flows.payment("o-1"))["status"] == "succeeded"
    assert [topic for topic, _ in await harness.published(name_of("o-1"))] == ["initiated", "succeeded"]


@pytest.mark.invariant("I3")
async def test_replayed_create_after_a_restore_learns_that_the_order_was_paid(harness: Harness) -> None:
    record = inbound_record(order("o-1"), 0)
    await harness.flows.intake.accept([record])
    await harness.flows.run_calls()
    await authorize_without_webhook(harness)
    await restore_without_orders(harness)
    await harness.flows.intake.accept([record])
    await harness.flows.run_calls()
    assert (await harness.flows.payment("o-1"))["status"] == "succeeded"
    assert effects(harness.sandbox).count("intent.created") == 1


@pytest.mark.invariant("I14")
@pytest.mark.parametrize("ended_by", ["expiry", "order cancellation", "order cancellation before the order", "client"])
async def test_order_paid_before_a_restore_is_not_ended_by_its_unsent_create(harness: Harness, ended_by: str) -> None:
    """ "Never sent" is true of the restored database alone: the order's money is at the provider."""
    expires_at = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    record = inbound_record(order("o-1", expires_at=expires_at), 0)
    await harness.flows.intake.accept([record])
    await harness.flows.run_calls()
    await authorize_without_webhook(harness)
    await restore_without_orders(harness)
    await harness.dispatcher.stop(5)
    cancellation = OrderCancellationIntake(harness.context())
    if ended_by == "order cancellation before the order":
        await cancellation.accept([cancelled({"order_id": "o-1"})])
    await harness.flows.intake.accept([record])
    if ended_by == "order cancellation":
        await cancellation.accept([cancelled({"order_id": "o-1"})])
    if ended_by == "expiry":
        harness.flows.clock.ahead = timedelta(minutes=11)
        assert await Expiry(harness.context()).expire_once() == 1
    if ended_by == "client":
        assert (await harness.post(f"/v1/payments/{name_of('o-1')}/cancel", {})).status == 201
    harness.dispatcher = harness.flows.dispatcher()
    await harness.dispatcher.start()
    await harness.flows.run_calls()
    payment = await harness.flows.payment("o-1")
    assert (payment["status"], payment["captured"]) == ("succeeded", 1990)
    assert [topic for topic, _ in await harness.published(name_of("o-1"))] == ["initiated", "succeeded"]


@pytest.mark.invariant("I14")
async def test_key_age_is_judged_by_the_clock_of_the_database(harness: Harness) -> None:
    """The refund was made and its answer lost. Stripe forgets keys after 24 h; this host's clock is 3 h behind."""
    payment = await harness.pay("o-1")
    refund = {"method": "POST", "path": "/v1/refunds"}
    harness.sandbox.faults({"match": refund, "action": "drop", "phase": "after", "times": 1})
    assert (await harness.refund(payment, "5.00", "job-1")).status == 201

    async def attempted() -> bool:
        return (await harness.flows.operation("o-1", "refund"))["last_sent_at"] is not None

    await eventually_async(attempted)
    await harness.dispatcher.stop(5)
    await harness.flows.pool.execute(
        "UPDATE operations SET first_sent_at = first_sent_at - interval '25 h', last_sent_at = last_sent_at - interval '25 h',"
        " due_at = now(), resolving = false WHERE kind = 'refund'"
    )
    harness.sandbox.advance(int(DAY.total_seconds()))
    harness.flows.clock.ahead = timedelta(hours=-3)
    harness.dispatcher = harness.flows.dispatcher()
    await harness.dispatcher.start()
    await harness.flows.run_calls()
    assert [entry["amount"] for entry in harness.sandbox.ledger() if entry["effect"] == "refund.created"] == [500]


@pytest.mark.invariant("I14")
async def test_payment_of_a_host_with_a_clock_a_day_ahead_does_not_expire(harness: Harness) -> None:
    """Expiry goes by the database's clock; only the host's is moved here."""
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    ahead = harness.flows.context(now=lambda: datetime.now(UTC) + DAY, database_now=database_time)
    assert await Expiry(ahead).expire_once() == 0


READ_TROUBLE = [
    *({"action": "status", "code": code} for code in (302, 404, 409, 429, 500)),
    *({"action": action} for action in ("drop", "truncated", "incomplete", "bad_gateway")),
]


@pytest.mark.invariant("I14")
@pytest.mark.parametrize("trouble", READ_TROUBLE, ids=str)
async def test_read_without_an_answer_cancels_nothing(harness: Harness, trouble: dict[str, Any]) -> None:
    """The webhook of the authorization is lost, and so is the first read before the cancel."""
    await harness.flows.accept("o-1", capture_method="manual")
    await harness.flows.run_calls()
    await authorize_without_webhook(harness)
    harness.sandbox.faults({"match": {"operation": "payment_intents.retrieve"}, "times": 1, **trouble})
    harness.flows.clock.ahead = DAY
    await Expiry(harness.context()).expire_once()
    await harness.flows.run_calls()
    assert await intent_status(harness) == "requires_capture"
    assert harness.sandbox.faults_struck() == [1]
    assert "intent.canceled" not in effects(harness.sandbox)
