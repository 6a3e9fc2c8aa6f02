"""Ask about what is open for long: single reads with back-off, after all other work, without webhooks and without events."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from payment_service.db.polls import FIRST_WAIT_S, WAIT_MAX_S, wait_s
from payment_service.flows.timers.poller import Poller
from tests.support.flows import name_of
from tests.support.harness import Harness
from tests.support.provider_reads import poll_all, poll_due, poller


@pytest.fixture
async def polls(harness: Harness) -> Poller:
    """Create a poller of the sandbox's payments."""
    return await poller(harness)


async def created(harness: Harness, order_id: str, **fields: Any) -> str:
    """Accept an order, and return the intent of its payment."""
    await harness.flows.accept(order_id, **fields)
    await harness.flows.run_calls()
    return str((await harness.flows.payment(order_id))["provider_payment_id"])


async def waits(harness: Harness) -> dict[UUID, float]:
    """Return the seconds until the next poll, by payment."""
    rows = await harness.flows.pool.fetch(
        "SELECT payment_id, extract(epoch FROM due_at - now())::float8 AS wait_s FROM polls"
    )
    return {row["payment_id"]: row["wait_s"] for row in rows}


async def reads(harness: Harness) -> list[tuple[str, int]]:
    """Return the causes and attempts of the polls' reads."""
    rows = await harness.flows.pool.fetch(
        "SELECT cause, attempt FROM operations WHERE kind = 'retrieve' AND cause LIKE '%:poll' ORDER BY cause"
    )
    return [(row["cause"], row["attempt"]) for row in rows]


@pytest.mark.invariant("I16")
async def test_a_payment_whose_events_are_all_lost_succeeds(harness: Harness, polls: Poller) -> None:
    """Rarely Stripe never generates an event (https://docs.stripe.com/webhooks/handle-irrecoverable-events)."""
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.confirm(await created(harness, "o-1"), {"payment_method": "pm_card_visa"})
    assert await poll_all(harness, polls) == 1
    assert (await harness.flows.payment("o-1"))["status"] == "succeeded"
    assert await waits(harness) == {}


@pytest.mark.invariant("I16")
async def test_a_hold_that_was_captured_at_the_provider_is_noticed(harness: Harness, polls: Poller) -> None:
    client: Any = harness.sandbox.client()
    intent_id = await created(harness, "o-1", capture_method="manual")
    client.v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"})
    await poll_all(harness, polls)
    assert (await harness.flows.payment("o-1"))["status"] == "authorized"
    client.v1.payment_intents.capture(intent_id)
    await poll_all(harness, polls)
    assert (await harness.flows.payment("o-1"))["status"] == "succeeded"


@pytest.mark.invariant("I16")
async def test_a_pending_refund_is_read_until_the_bank_decides(harness: Harness, polls: Poller) -> None:
    payment = await harness.pay("o-1", "pm_card_pendingRefund")
    assert payment not in await waits(harness)
    await harness.refund(payment, "5.00")
    assert 0 < (await waits(harness))[payment] <= FIRST_WAIT_S
    await harness.flows.run_calls()
    refund = "SELECT status FROM refunds"
    assert await harness.flows.pool.fetchval(refund) == "pending"
    harness.sandbox.advance(86_400)
    await poll_all(harness, polls)
    assert await harness.flows.pool.fetchval(refund) == "succeeded"
    assert await reads(harness) == [("refunds:poll", 1)]
    await poll_all(harness, polls)
    assert await waits(harness) == {}


@pytest.mark.invariant("I16")
async def test_an_open_dispute_is_read_until_it_is_closed(harness: Harness, polls: Poller) -> None:
    payment = await harness.pay("o-1", "pm_card_createDispute")
    await harness.run_until_idle()
    assert FIRST_WAIT_S < (await waits(harness))[payment] <= wait_s(5)
    client: Any = harness.sandbox.client()
    [dispute] = client.v1.disputes.list().data
    client.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": True})
    harness.sandbox.advance(60)
    await poll_all(harness, polls)
    assert [topic for topic, _ in await harness.published(payment)][-1] == "dispute_closed"
    assert await reads(harness) == [("disputes:poll", 1)]


async def test_a_payment_that_ended_is_not_polled(harness: Harness, polls: Poller) -> None:
    await harness.pay("o-1")
    assert await waits(harness) == {}
    assert await poll_all(harness, polls) == 0


async def test_a_poll_of_which_nothing_is_open_ends_without_a_call(harness: Harness, polls: Poller) -> None:
    payment = await harness.pay("o-1")
    await harness.flows.pool.execute(
        "INSERT INTO polls (payment_id, provider, due_at) VALUES ($1, 'stripe', now())", payment
    )
    assert await poll_due(harness, polls) == 1
    assert (await waits(harness), await reads(harness)) == ({}, [])


async def test_the_wait_doubles_and_all_polls_of_a_payment_share_one_operation(harness: Harness, polls: Poller) -> None:
    await created(harness, "o-1")
    payment = name_of("o-1")
    assert 0 < (await waits(harness))[payment] <= FIRST_WAIT_S
    for tries in range(1, 10):
        await poll_all(harness, polls)
        expected = min(WAIT_MAX_S, FIRST_WAIT_S * 2**tries)
        assert expected - 30 < (await waits(harness))[payment] <= expected
    assert await reads(harness) == [("intent:poll", 9)]


async def test_nothing_is_polled_before_its_time(harness: Harness, polls: Poller) -> None:
    await created(harness, "o-1")
    assert await poll_due(harness, polls) == 0


async def test_polls_wait_while_operations_use_the_budget(harness: Harness, polls: Poller) -> None:
    """Half of the burst is free only while no operation waits for a token."""
    slow = await poller(harness, rate_per_s=0.01)
    await created(harness, "o-1")
    await harness.flows.pool.execute("UPDATE polls SET due_at = now()")
    await harness.flows.pool.execute("UPDATE provider_budget SET tokens = 0, refilled_at = clock_timestamp()")
    assert await slow.poll_once() == 0
    assert await poll_due(harness, slow) == 1


async def test_polls_wait_for_the_reads_of_earlier_polls(harness: Harness, polls: Poller) -> None:
    """A provider that hangs would otherwise collect reads."""
    await created(harness, "o-1")
    await harness.pay("o-2")
    await harness.dispatcher.stop(5)
    await harness.flows.pool.execute(
        "INSERT INTO operations (id, payment_id, provider, kind, cause, request_method, request_path, request_body, "
        "api_version, due_at) VALUES (gen_random_uuid(), $1, 'stripe', 'retrieve', 'test', 'GET', '/', '', '', now() - interval '2 s')",
        name_of("o-2"),
    )
    await harness.flows.pool.execute("UPDATE polls SET due_at = now()")
    await harness.flows.pool.execute("UPDATE provider_budget SET tokens = 100, refilled_at = clock_timestamp()")
    assert await polls.poll_once() == 0


async def test_one_of_two_replicas_polls_in_a_round(harness: Harness, polls: Poller) -> None:
    peer = await poller(harness)
    await created(harness, "o-1")
    await created(harness, "o-2")
    await harness.flows.pool.execute("UPDATE polls SET due_at = now()")
    await harness.flows.pool.execute("UPDATE provider_budget SET polls_due_at = now()")
    await harness.flows.pool.execute("UPDATE provider_budget SET tokens = 100, refilled_at = clock_timestamp()")
    assert sorted(await asyncio.gather(polls.poll_once(), peer.poll_once())) == [0, 2]
    await harness.flows.run_calls()


async def test_a_round_requests_a_fifth_of_the_rate(harness: Harness) -> None:
    slow = await poller(harness, rate_per_s=10.0)
    for i in range(3):
        await created(harness, f"o-{i}")
    assert await poll_all(harness, slow) == 2
    assert await poll_due(harness, slow) == 1


async def test_a_parked_read_stays_parked(harness: Harness, polls: Poller) -> None:
    """An operator decides about it."""
    await created(harness, "o-1")
    await poll_all(harness, polls)
    await harness.flows.pool.execute("UPDATE operations SET state = 'parked' WHERE cause = 'intent:poll'")
    await poll_all(harness, polls)
    assert await reads(harness) == [("intent:poll", 1)]
