"""Test dispatch against the sandbox over HTTP: every class of response, and recovery from a dead worker."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from payment_service.db import operations, workers
from payment_service.flows.calls.dispatch import Dispatcher
from tests.support.eventually import eventually_async
from tests.support.flows import Flows, name_of, open_flows
from tests.support.sandbox import SandboxProcess

CREATE = {"method": "POST", "path_prefix": "/v1/payment_intents"}


@pytest.fixture
async def flows(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Flows]:
    async with open_flows(database_dsn, sandbox.base_url) as opened:
        yield opened


@pytest.fixture
async def dispatcher(flows: Flows) -> AsyncIterator[Dispatcher]:
    made = flows.dispatcher()
    await made.start()
    yield made
    await made.stop(5)


def intents_of(sandbox: SandboxProcess) -> Counter[str]:
    return Counter(e["metadata"]["order_id"] for e in sandbox.ledger() if e["effect"] == "intent.created")


async def test_every_order_creates_one_intent_and_is_published_once(
    flows: Flows, sandbox: SandboxProcess, dispatcher: Dispatcher
) -> None:
    orders = [f"o-{i}" for i in range(40)]
    await flows.accept(*orders)
    dispatcher.wake()
    await flows.run_calls()
    assert intents_of(sandbox) == Counter(orders)
    rows = await flows.pool.fetch("SELECT status, sequence, provider_payment_id FROM payments")
    assert {(row["status"], row["sequence"]) for row in rows} == {("pending", 1)}
    assert await flows.pool.fetchval("SELECT count(*) FROM outbox WHERE type = 'payments.initiated'") == 40


@pytest.mark.invariant("I1")
@pytest.mark.parametrize(
    "rule",
    [
        pytest.param({"action": "drop", "phase": "before"}, id="dropped before the effect"),
        pytest.param({"action": "drop", "phase": "after"}, id="dropped after the effect"),
        pytest.param({"action": "reset", "phase": "after"}, id="reset after the effect"),
        pytest.param({"action": "hang", "phase": "after", "seconds": 3}, id="no response in time after the effect"),
        pytest.param(
            {"action": "status", "code": 502, "phase": "after", "body": "<html>Bad gateway"}, id="a proxy's 502"
        ),
        pytest.param({"action": "status", "code": 503, "phase": "before"}, id="503 before the effect"),
        pytest.param({"action": "status", "code": 409, "phase": "before"}, id="key in use"),
        pytest.param({"action": "status", "code": 429, "phase": "before", "headers": {"Retry-After": "1"}}, id="429"),
        pytest.param({"action": "status", "code": 429, "headers": {"Retry-After": "soon"}}, id="429, nonsense"),
        pytest.param({"action": "status", "code": 200, "phase": "after", "body": '{"id": "pi_'}, id="truncated JSON"),
        pytest.param({"action": "status", "code": 302, "headers": {"Location": "http://169.254.1.1/"}}, id="redirect"),
        pytest.param(
            {"action": "status", "code": 400, "headers": {"Stripe-Should-Retry": "true"}, "sticky": False},
            id="should retry",
        ),
    ],
)
async def test_a_transient_failure_is_retried_under_the_same_key_with_one_intent(
    flows: Flows, sandbox: SandboxProcess, dispatcher: Dispatcher, rule: dict[str, object]
) -> None:
    sandbox.faults({"match": CREATE, "times": 2, **rule})
    await flows.accept("o-1")
    dispatcher.wake()
    await flows.run_calls()
    assert intents_of(sandbox) == Counter(["o-1"])
    assert (await flows.payment("o-1"))["status"] == "pending"
    assert (await flows.operation("o-1"))["epoch"] == 1


async def test_a_refused_amount_fails_the_payment_with_its_reason(
    flows: Flows, sandbox: SandboxProcess, dispatcher: Dispatcher
) -> None:
    from tests.support.flows import inbound_record, order  # noqa: PLC0415

    await flows.intake.accept([inbound_record(order("tiny", "0.01", "usd"), 0)])
    dispatcher.wake()
    await flows.run_calls()
    assert (await flows.payment("tiny"))["status"] == "failed"
    assert (await flows.operation("tiny"))["outcome_code"] == "amount_too_small"
    value = await flows.pool.fetchval("SELECT convert_from(payload, 'UTF8') FROM outbox WHERE type = 'payments.failed'")
    assert '"final":true' in value
    assert '"code":"amount_too_small"' in value


@pytest.mark.invariant("I3")
async def test_a_wrong_key_fails_no_order_and_all_succeed_once_it_is_fixed(
    flows: Flows, sandbox: SandboxProcess, dispatcher: Dispatcher
) -> None:
    sandbox.accept_keys("sk_test_another_one")
    orders = [f"o-{i}" for i in range(30)]
    await flows.accept(*orders)
    dispatcher.wake()

    async def blocked() -> bool:
        return (
            await flows.pool.fetchval("SELECT blocked_since IS NOT NULL FROM provider_health WHERE kind = '*'") is True
        )

    await eventually_async(blocked)
    statuses = await flows.pool.fetch("SELECT DISTINCT status FROM payments")
    assert [row["status"] for row in statuses] == ["created"]
    sandbox.accept_keys()
    await flows.run_calls(timeout_s=30)
    assert intents_of(sandbox) == Counter(orders)
    assert await flows.pool.fetchval("SELECT count(*) FROM provider_health") == 0


async def test_a_missing_permission_blocks_only_its_kind_of_operation(
    flows: Flows, sandbox: SandboxProcess, dispatcher: Dispatcher
) -> None:
    sandbox.faults({"match": CREATE, "action": "status", "code": 403})
    await flows.accept("o-1")
    dispatcher.wake()

    async def blocked() -> bool:
        return bool(
            await flows.pool.fetchval("SELECT count(*) FROM provider_health WHERE blocked_since IS NOT NULL") == 1
        )

    await eventually_async(blocked)
    assert await flows.pool.fetchval("SELECT kind FROM provider_health") == "create"
    assert (await flows.payment("o-1"))["status"] == "created"
    sandbox.faults()
    await flows.run_calls(timeout_s=30)
    assert (await flows.payment("o-1"))["status"] == "pending"


async def test_one_unknown_refusal_parks_its_operation_and_ten_block_the_kind(
    flows: Flows, sandbox: SandboxProcess, dispatcher: Dispatcher
) -> None:
    sandbox.faults(
        {"match": CREATE, "action": "status", "code": 400, "body": {"error": {"code": "odd"}}, "sticky": False}
    )
    await flows.accept(*[f"o-{i}" for i in range(60)])
    dispatcher.wake()

    async def blocked() -> bool:
        return bool(
            await flows.pool.fetchval("SELECT count(*) FROM provider_health WHERE blocked_since IS NOT NULL") == 1
        )

    await eventually_async(blocked)
    parked = int(await flows.pool.fetchval("SELECT count(*) FROM operations WHERE state = 'parked'"))
    assert parked < 10
    sandbox.faults()
    await flows.run_calls(timeout_s=30)
    rows = await flows.pool.fetch("SELECT status, count(*) FROM payments GROUP BY status")
    assert {row["status"]: row["count"] for row in rows} == {"pending": 60 - parked} | (
        {"created": parked} if parked else {}
    )


async def test_a_replayed_500_after_the_effect_is_resolved_with_one_intent(
    flows: Flows, sandbox: SandboxProcess, dispatcher: Dispatcher
) -> None:
    """The key replays the stored 500 forever. The list shows the intent."""
    sandbox.faults({"match": CREATE, "action": "status", "code": 500, "phase": "after", "sticky": True, "times": 1})
    await flows.accept("o-1")
    dispatcher.wake()
    await flows.run_calls(timeout_s=40)
    assert intents_of(sandbox) == Counter(["o-1"])
    operation = await flows.operation("o-1")
    assert (operation["state"], operation["outcome"], operation["epoch"]) == ("done", "found", 1)


@pytest.mark.invariant("I1")
async def test_a_replayed_500_without_effect_needs_two_empty_reads_for_a_new_key(
    flows: Flows, sandbox: SandboxProcess
) -> None:
    """Two reads, a minute apart, find nothing; only then is a new key used.

    The test moves database times instead of waiting.
    """
    sandbox.faults({"match": CREATE, "action": "status", "code": 500, "phase": "instead", "sticky": True, "times": 1})
    dispatcher = flows.dispatcher()
    await flows.accept("o-1")
    await dispatcher.start()
    for _ in range(3):

        async def waits() -> bool:
            row = await flows.operation("o-1")
            return bool(row["state"] == "done") or (
                row["state"] == "due" and row["due_at"] > flows.clock.now() + timedelta(seconds=1)
            )

        await eventually_async(waits, timeout_s=15)
        row = await flows.operation("o-1")
        assert row["epoch"] == 1
        if row["empty_read_at"] is not None:
            break
        await _let_time_pass(flows, timedelta(seconds=10))
    assert intents_of(sandbox) == Counter()
    await _let_time_pass(flows, timedelta(seconds=70))
    await flows.run_calls()
    await dispatcher.stop(5)
    assert (await flows.operation("o-1"))["epoch"] == 2
    assert intents_of(sandbox) == Counter(["o-1"])


@pytest.mark.invariant("I1")
async def test_a_key_older_than_23_hours_is_never_sent_again(flows: Flows, sandbox: SandboxProcess) -> None:
    """The create took effect but its response was lost, and the provider has forgotten the key.

    Sending it would create a second intent.
    """
    sandbox.faults({"match": CREATE, "action": "hang", "phase": "after", "seconds": 3, "times": 1})
    first = flows.dispatcher()
    await flows.accept("o-1")
    await first.start()

    async def claimed() -> bool:
        return bool((await flows.operation("o-1"))["state"] == "claimed")

    await eventually_async(claimed)
    await first.stop(5)
    assert (await flows.operation("o-1"))["outcome"] == "unknown"
    await flows.pool.execute("UPDATE operations SET due_at = now(), first_sent_at = first_sent_at - interval '25 h'")
    sandbox.advance(25 * 3600)
    flows.clock.ahead = timedelta()
    second = flows.dispatcher()
    await second.start()
    await flows.run_calls()
    await second.stop(5)
    assert intents_of(sandbox) == Counter(["o-1"])
    assert (await flows.operation("o-1"))["outcome"] == "found"


async def test_a_dead_workers_operation_is_resumed_under_the_same_key(flows: Flows, sandbox: SandboxProcess) -> None:
    await flows.accept("o-1", "o-2")
    dead = flows.dispatcher()
    await operations.ensure_budget(flows.pool, "stripe")
    await workers.register(flows.pool, dead.worker)
    await flows.pool.execute("UPDATE provider_budget SET tokens = 10")
    claimed = await flows.claim(dead.worker, rate_per_s=100, burst=10)
    assert len(claimed) == 1
    await flows.pool.execute("UPDATE workers SET heartbeat_at = now() - interval '6 s' WHERE id = $1", dead.worker)
    heir = flows.dispatcher()
    await heir.start()
    await flows.run_calls(timeout_s=15)
    await heir.stop(5)
    assert intents_of(sandbox) == Counter(["o-1", "o-2"])
    row = await flows.pool.fetchrow("SELECT attempt, epoch FROM operations WHERE id = $1", claimed[0].id)
    assert row is not None
    assert (row["attempt"], row["epoch"]) == (2, 1)


async def test_a_heartbeat_finds_an_operation_without_a_signal(flows: Flows, sandbox: SandboxProcess) -> None:
    """A command sends no signal, and some poolers deliver none."""
    dispatcher = flows.dispatcher()
    dispatcher._claiming.look_every(600.0)
    await dispatcher.start()
    await eventually_async(lambda: not dispatcher._work_left)
    await flows.accept("o-1")
    await flows.run_calls(timeout_s=15)
    await dispatcher.stop(5)
    assert intents_of(sandbox) == Counter(["o-1"])


async def test_an_attempt_paused_past_its_claim_is_not_sent(flows: Flows, sandbox: SandboxProcess) -> None:
    """Five seconds after the claim, another worker may own the operation."""
    boot = iter([0.0] * 8)
    late = flows.dispatcher(boot_s=lambda: next(boot, 100.0))
    await operations.ensure_budget(flows.pool, "stripe")
    await workers.register(flows.pool, late.worker)
    await flows.pool.execute("UPDATE provider_budget SET tokens = 10")
    await flows.accept("o-1")
    await late.claim_once()
    if late._calls:
        await asyncio.wait(late._calls)
    assert intents_of(sandbox) == Counter()
    row = await flows.operation("o-1")
    assert (row["state"], row["worker"]) == ("due", None)


async def test_a_late_response_is_a_fact_but_not_the_result_of_another_attempt(
    flows: Flows, sandbox: SandboxProcess
) -> None:
    """Another worker has claimed the operation meanwhile.

    The payment gets its intent, and the operation stays with that worker.
    """
    sandbox.faults({"match": CREATE, "action": "latency", "ms": 600, "times": 1})
    slow = flows.dispatcher()
    await flows.accept("o-1")
    await slow.start()

    async def claimed() -> bool:
        return bool((await flows.operation("o-1"))["state"] == "claimed")

    await eventually_async(claimed)
    other = flows.dispatcher()
    await workers.register(flows.pool, other.worker)
    await flows.pool.execute("UPDATE operations SET worker = $1, attempt = attempt + 1", other.worker)

    async def known() -> bool:
        return bool((await flows.payment("o-1"))["status"] == "pending")

    await eventually_async(known)
    row = await flows.operation("o-1")
    assert (row["state"], row["worker"]) == ("claimed", other.worker)
    await slow.stop(5)


@pytest.mark.invariant("I10")
async def test_a_locked_payment_delays_no_other(flows: Flows, sandbox: SandboxProcess, dispatcher: Dispatcher) -> None:
    orders = [f"o-{i}" for i in range(20)]
    await flows.accept(*orders)
    async with flows.pool.acquire() as connection:
        await connection.execute("SET idle_in_transaction_session_timeout = 0")
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT 1 FROM payments WHERE id = $1 FOR UPDATE", name_of("o-7"))
        dispatcher.wake()

        async def others_done() -> bool:
            return int(await flows.pool.fetchval("SELECT count(*) FROM payments WHERE status = 'pending'")) == 19

        await eventually_async(others_done)
        assert (await flows.payment("o-7"))["status"] == "created"
        await transaction.rollback()
    await flows.run_calls()
    assert (await flows.payment("o-7"))["status"] == "pending"
    assert intents_of(sandbox) == Counter(orders)


@pytest.mark.invariant("I11")
async def test_two_dispatchers_share_one_budget_exactly(database_dsn: str, sandbox: SandboxProcess) -> None:
    """A bucket that is never refilled grants its content, however many dispatchers claim at once."""
    async with open_flows(database_dsn, sandbox.base_url) as flows:
        await flows.accept(*[f"o-{i}" for i in range(120)])
        await operations.ensure_budget(flows.pool, "stripe")
        await flows.pool.execute("UPDATE provider_budget SET tokens = 50")
        claimants = [flows.dispatcher().worker for _ in range(8)]
        for worker in claimants:
            await workers.register(flows.pool, worker)

        async def claim(worker: UUID) -> list[operations.Claimed]:
            return await flows.claim(worker, slots=16, rate_per_s=0, burst=1000)

        taken = [o.id for round_ in range(4) for group in await asyncio.gather(*map(claim, claimants)) for o in group]
        assert len(taken) == len(set(taken)) == 50
        assert await flows.pool.fetchval("SELECT tokens FROM provider_budget") == 0


async def _let_time_pass(flows: Flows, time: timedelta) -> None:
    await flows.pool.execute(
        "UPDATE operations SET due_at = due_at - $1::interval, first_sent_at = first_sent_at - $1::interval, "
        "last_sent_at = last_sent_at - $1::interval, empty_read_at = empty_read_at - $1::interval",
        time,
    )


async def test_stopping_while_the_database_is_down_does_not_hang(flows: Flows, sandbox: SandboxProcess) -> None:
    """Another process resumes the unrecorded results, as after a kill."""
    sandbox.faults({"match": CREATE, "action": "latency", "ms": 300})
    leaving = flows.dispatcher()
    await flows.accept("o-1")
    await leaving.start()

    async def claimed() -> bool:
        return bool((await flows.operation("o-1"))["state"] == "claimed")

    await eventually_async(claimed)
    flows.pool.terminate()
    await leaving.stop(5)
    assert len(leaving._unrecorded) == 1
