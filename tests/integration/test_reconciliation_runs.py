"""Runs of reconciliation: nothing is invented, a dry run writes nothing, a crash resumes, and one process runs at a time."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from payment_service.db import differences, reconciliations
from payment_service.db.gauges import sample
from payment_service.db.reconciliations import Counts, LeaseLost
from payment_service.domain import differences as codes
from payment_service.domain.differences import CATALOG, Sides, describe
from payment_service.flows.reconciliation import list_progress, provider_objects, provider_reads
from payment_service.flows.reconciliation.engine import AlreadyRunning
from payment_service.flows.reconciliation.journal import Interrupted, Pace
from payment_service.flows.reconciliation.missing_events import SETTLED_AFTER_S
from payment_service.flows.reconciliation.provider_reads import ProviderUnavailable
from payment_service.provider.listed_objects import ListedPage, ObjectKind
from payment_service.provider.port import Transient
from payment_service.telemetry import metrics
from tests.support.flows import name_of
from tests.support.harness import Harness
from tests.support.reconcile import Result, reconcile, reconciliation, window

# Some runs wait for the calls and events of many payments.
pytestmark = pytest.mark.timeout(180)

TABLES = ("payments", "refunds", "disputes", "operations", "payment_history", "outbox", "payment_events", "audit")
NEW_TABLES = ("reconciliations", "reconciliation_objects", "differences")


def client(harness: Harness) -> Any:
    """Return a client of the sandbox."""
    return harness.sandbox.client()


async def content(harness: Harness, *tables: str) -> list[str]:
    """Return all rows of these tables as text."""
    return [
        row["t"]
        for table in tables
        for row in await harness.flows.pool.fetch(f"SELECT t::text AS t FROM {table} t")  # noqa: S608
    ]


async def paid_without_webhook(harness: Harness, *order_ids: str) -> None:
    """Let customers pay, and deliver no event."""
    await harness.flows.accept(*order_ids)
    await harness.flows.run_calls()
    for order_id in order_ids:
        intent = (await harness.flows.payment(order_id))["provider_payment_id"]
        client(harness).v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})


async def statuses(harness: Harness) -> set[str]:
    """Return the statuses of all payments."""
    return {row["status"] for row in await harness.flows.pool.fetch("SELECT status FROM payments")}


async def test_nothing_is_found_in_a_clean_set_and_other_programs_are_ignored(harness: Harness) -> None:
    await harness.pay("paid")
    await harness.refund(await harness.pay("refunded"), "5.00")
    disputed = await harness.pay("disputed")
    intent = (await harness.flows.payment("disputed"))["provider_payment_id"]
    charge = client(harness).v1.payment_intents.retrieve(intent).latest_charge
    harness.sandbox.control("POST", f"/sandbox/charges/{charge}/dispute", {})
    await harness.flows.accept("open", "canceled")
    await harness.flows.accept("held", capture_method="manual")
    await harness.flows.run_calls()
    held = (await harness.flows.payment("held"))["provider_payment_id"]
    client(harness).v1.payment_intents.confirm(held, {"payment_method": "pm_card_visa"})
    await harness.post(f"/v1/payments/{name_of('canceled')}/cancel", {})
    await harness.run_until_idle()
    for metadata in ({}, {"deployment": "another", "payment_id": str(disputed), "order_id": "disputed"}):
        foreign = {"amount": 700, "currency": "eur", "payment_method_types": ["card"], "metadata": metadata}
        paid = client(harness).v1.payment_intents.create({**foreign, "confirm": True, "payment_method": "pm_card_visa"})
        client(harness).v1.refunds.create({"payment_intent": paid.id, "amount": 100})
    before = await content(harness, *TABLES)
    result = await reconcile(harness)
    assert result.found == []
    assert (result.counts.compared, result.counts.ignored) == (26, 6)
    assert await content(harness, *TABLES) == before
    harness.sandbox.advance(SETTLED_AFTER_S + 1)
    assert (await reconcile(harness, sides=Sides)).found == []


async def test_a_decline_that_stripe_has_cleared_is_no_difference(harness: Harness) -> None:
    """https://docs.stripe.com/api/payment_intents/object#payment_intent_object-last_payment_error"""
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    intent = (await harness.flows.payment("o-1"))["provider_payment_id"]
    with pytest.raises(Exception, match="declined"):
        client(harness).v1.payment_intents.confirm(intent, {"payment_method": "pm_card_chargeDeclined"})
    await harness.run_until_idle()
    client(harness).v1.payment_intents.update(intent, {"description": "a"})
    assert (await reconcile(harness)).found == []


async def test_a_dry_run_reports_the_same_and_writes_nothing(harness: Harness) -> None:
    await paid_without_webhook(harness, "o-1", "o-2")
    await harness.flows.pool.execute("UPDATE payments SET amount = 100 WHERE order_id = 'o-2'")
    before = await content(harness, *TABLES, *NEW_TABLES)
    dry = await reconcile(harness, dry=True)
    assert dry.codes == [("amount_differs", False), ("status_differs", False)]
    assert await content(harness, *TABLES, *NEW_TABLES) == before
    assert (await reconcile(harness)).codes == [("amount_differs", False), ("status_differs", True)]


@pytest.mark.invariant("I5")
async def test_a_row_that_was_set_back_publishes_no_event_again(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    before = await harness.published(payment)
    await harness.flows.pool.execute("UPDATE payments SET status = 'pending', captured = 0")
    assert (await reconcile(harness)).codes == [("status_differs", True)]
    assert await harness.published(payment) == before
    assert (await harness.flows.payment("o-1"))["status"] == "succeeded"


@pytest.mark.invariant("I4")
async def test_a_repair_publishes_like_a_webhook(harness: Harness) -> None:
    await paid_without_webhook(harness, "o-1")
    await reconcile(harness)
    published = await harness.published(name_of("o-1"))
    assert [topic for topic, _ in published] == ["initiated", "succeeded"]
    await harness.deliver()
    assert await harness.published(name_of("o-1")) == published


@pytest.mark.parametrize("step", range(1, 12))
async def test_a_run_resumes_from_its_last_step_after_a_crash(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The process dies before the commit of any step. With pages of 2, the window has several."""
    monkeypatch.setattr("payment_service.provider.stripe.object_lists.PAGE_SIZE", 2)
    monkeypatch.setattr(provider_objects, "PAGE_SIZE", 2)
    await paid_without_webhook(harness, *(f"o-{n}" for n in range(5)))
    await harness.flows.pool.execute("UPDATE payments SET amount = 100 WHERE order_id = 'o-4'")
    advance, steps = reconciliations.advance, 0

    async def dies(*values: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            raise KeyboardInterrupt
        await advance(*values)

    monkeypatch.setattr(reconciliations, "advance", dies)
    first, second = Result(), Result()
    with pytest.raises(KeyboardInterrupt):
        await reconciliation(harness, first).run(window())
    monkeypatch.setattr(reconciliations, "advance", advance)
    await harness.flows.pool.execute("UPDATE reconciliations SET lease_until = now() - interval '1 s'")
    resumed = await reconciliation(harness, second).resume()
    assert resumed is not None
    found = {difference.key for difference in [*first.found, *second.found]}
    assert len(found) == 5
    assert await statuses(harness) == {"succeeded", "pending"}
    assert await differences.count_open(harness.flows.pool) == 1
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM reconciliation_objects") == 0
    assert (await reconcile(harness)).codes == [("amount_differs", False)]


async def test_two_processes_do_not_run_at_once(harness: Harness) -> None:
    await paid_without_webhook(harness, "o-1", "o-2")
    results = Result(), Result()
    runs = [reconciliation(harness, result).run(window()) for result in results]
    outcomes = await asyncio.gather(*runs, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, AlreadyRunning)]
    assert len(refused) == 1
    assert sum(len(result.found) for result in results) == 2


async def test_a_process_whose_run_was_taken_over_writes_nothing(harness: Harness) -> None:
    pool, first, second = harness.flows.pool, uuid4(), uuid4()
    run = await reconciliations.start(pool, first, window())
    assert run is not None
    assert await reconciliations.resume(pool, second) is None
    await pool.execute("UPDATE reconciliations SET lease_until = now() - interval '1 s'")
    assert await reconciliations.resume(pool, second) is not None
    async with pool.acquire() as connection:
        with pytest.raises(LeaseLost):
            await reconciliations.advance(connection, first, run.id, "a", "b", Counts())


async def test_a_difference_with_a_call_in_flight_is_postponed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_reads, "WAIT_MAX_S", 0.1)  # each read waits so long behind the call
    await paid_without_webhook(harness, "o-1")
    await harness.dispatcher.stop(5)
    await harness.post(f"/v1/payments/{name_of('o-1')}/cancel", {})
    result = await reconcile(harness)
    assert (result.found, result.counts.postponed) == ([], 1)
    assert await statuses(harness) == {"pending"}


async def test_a_difference_that_ends_before_the_second_look_is_none(harness: Harness) -> None:
    await paid_without_webhook(harness, "o-1")
    result = Result()
    run = asyncio.create_task(reconciliation(harness, result, look_again_s=1.0).run(window()))
    await harness.deliver()
    await run
    assert result.found == []


async def test_a_locked_payment_is_postponed(harness: Harness) -> None:
    await paid_without_webhook(harness, "o-1")
    async with harness.flows.pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM payments FOR UPDATE")
        result = await reconcile(harness)
    assert (result.found, result.counts.postponed) == ([], 1)
    assert (await reconcile(harness)).codes == [("status_differs", True)]


async def test_a_difference_that_the_fold_does_not_settle_stays_open_and_blocks_no_other(harness: Harness) -> None:
    """The row says that 15.00 of 19.90 were refunded, and the provider captured 10.00. Captured amounts only grow."""
    await harness.flows.accept("o-1", capture_method="manual")
    await harness.flows.run_calls()
    intent = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client(harness).v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    client(harness).v1.payment_intents.capture(intent, {"amount_to_capture": 1000})
    await harness.run_until_idle()
    await paid_without_webhook(harness, "o-2")
    await harness.flows.pool.execute("UPDATE payments SET captured = 1990, refunded = 1500 WHERE order_id = 'o-1'")
    assert (await reconcile(harness)).codes == [("captured_differs", False), ("status_differs", True)]
    await harness.flows.pool.execute("UPDATE payments SET refunded = 0 WHERE order_id = 'o-1'")
    assert (await reconcile(harness)).codes == [("captured_differs", False)]
    await harness.flows.pool.execute("UPDATE payments SET captured = 1000 WHERE order_id = 'o-1'")
    assert (await reconcile(harness)).found == []


async def test_an_open_difference_is_resolved_when_it_ends_outside_the_window(harness: Harness) -> None:
    await harness.pay("o-1")
    intent = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client(harness).v1.payment_intents.update(intent, {"metadata": {"order_id": "another"}})
    assert (await reconcile(harness)).codes == [("metadata_differs", False)]
    await sample(harness.flows.pool)
    assert metrics.NEEDS_ATTENTION.labels("difference", "metadata_differs")._value.get() == 1
    client(harness).v1.payment_intents.update(intent, {"metadata": {"order_id": "o-1"}})
    harness.flows.clock.ahead = timedelta(days=30)
    later = window()
    later = type(later)(later.since + timedelta(days=30), later.until + timedelta(days=30))
    await reconciliation(harness, Result()).run(later)
    assert await differences.count_open(harness.flows.pool) == 0
    await sample(harness.flows.pool)
    assert metrics.NEEDS_ATTENTION.labels("difference", "metadata_differs")._value.get() == 0


async def test_a_duplicate_charge_is_resolved_when_it_is_refunded(harness: Harness) -> None:
    await harness.pay("o-1")
    metadata = {"deployment": "default", "order_id": "o-1", "payment_id": str(name_of("o-1"))}
    second = client(harness).v1.payment_intents.create(
        {
            "amount": 1990,
            "currency": "eur",
            "payment_method_types": ["card"],
            "metadata": metadata,
            "confirm": True,
            "payment_method": "pm_card_visa",
        }
    )
    assert (await reconcile(harness)).codes == [("duplicate_charge", False)]
    client(harness).v1.refunds.create({"payment_intent": second.id})
    assert (await reconcile(harness)).found == []
    assert await differences.count_open(harness.flows.pool) == 0


async def test_a_run_stops_when_the_provider_is_unavailable_and_resumes_later(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await paid_without_webhook(harness, "o-1")
    monkeypatch.setattr("payment_service.flows.reconciliation.provider_reads.TRIES_MAX", 1)
    harness.sandbox.faults({"match": {"path": "/v1/refunds"}, "action": "server_error", "times": 1})
    with pytest.raises(ProviderUnavailable, match="http_500"):
        await reconcile(harness)
    assert await reconciliation(harness, Result()).resume() is not None
    assert await statuses(harness) == {"succeeded"}


async def test_a_stopping_process_releases_its_run(harness: Harness) -> None:
    await paid_without_webhook(harness, "o-1")
    stopping = asyncio.Event()
    stopping.set()
    with pytest.raises(Interrupted):
        await reconcile(harness, pace=Pace(stopping))
    assert await reconciliation(harness, Result()).resume() is not None


async def test_rows_are_compared_with_each_other_after_the_repairs(harness: Harness) -> None:
    await harness.refund(await harness.pay("o-2"), "5.00")
    await harness.run_until_idle()
    await paid_without_webhook(harness, "o-1")
    await harness.flows.pool.execute("UPDATE payments SET refunded = 700 WHERE order_id = 'o-2'")
    result = await reconcile(harness, sides=Sides)
    assert ("status_differs", True) in result.codes
    rows = [difference for difference in result.found if difference.sides is Sides.ROWS]
    assert rows
    assert {difference.payment_id for difference in rows} == {name_of("o-2")}
    assert await differences.count_open(harness.flows.pool) == len(rows)
    await harness.flows.pool.execute("UPDATE payments SET refunded = 500 WHERE order_id = 'o-2'")
    assert (await reconcile(harness, sides=Sides)).found == []
    assert await differences.count_open(harness.flows.pool) == 0


async def test_runs_are_listed_by_the_api(harness: Harness) -> None:
    await reconcile(harness)
    await reconcile(harness)
    answer = await harness.get("/v1/reconciliations?limit=1")
    page = json.loads(answer.body)
    assert (answer.status, page["has_more"], page["data"][0]["state"]) == (200, True, "finished")
    following = json.loads((await harness.get(f"/v1/reconciliations?limit=1&cursor={page['next_cursor']}")).body)
    assert (following["has_more"], len(following["data"])) == (False, 1)


def test_every_code_has_a_sentence_and_an_unknown_one_too() -> None:
    assert all(one.action.endswith(".") for one in CATALOG.values())
    assert {value for name, value in vars(codes).items() if name.isupper() and isinstance(value, str)} == set(CATALOG)
    assert describe("of_a_newer_version").action.endswith(".")


async def test_a_page_is_retried_before_the_run_stops(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    list_objects, failures = harness.flows.provider.list_objects, [Transient(code="http_429", retry_after_s=0.01)]

    async def fails_once(*values: Any, **more: Any) -> Any:
        return failures.pop() if failures else await list_objects(*values, **more)

    monkeypatch.setattr(harness.flows.provider, "list_objects", fails_once)
    assert (await reconcile(harness)).found == []
    assert failures == []


async def test_a_list_that_alternates_between_two_pages_ends(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_progress, "STANDSTILL_PAGES_MAX", 3)
    await paid_without_webhook(harness, "o-1", "o-2")
    list_objects = harness.flows.provider.list_objects

    async def alternate(kind: ObjectKind, *, after: str, **window: Any) -> ListedPage:
        everything = await list_objects(kind, after="", **window)
        assert isinstance(everything, ListedPage)
        first, second = everything.objects
        turn = first if after == second.object_id else second
        return ListedPage(objects=(turn,), after=turn.object_id)

    monkeypatch.setattr(harness.flows.provider, "list_objects", alternate)
    with pytest.raises(ProviderUnavailable, match="does not end"):
        await reconcile(harness)
