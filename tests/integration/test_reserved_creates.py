"""Test creates that are inserted as claimed, because a call slot and a token are free."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import asyncpg
import pytest

from payment_service.db import operations, provider_health
from payment_service.flows.calls.dispatch import Dispatcher
from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.intake.orders import OrderIntake
from payment_service.flows.state.reservation import Reservation
from tests.support.eventually import eventually_async
from tests.support.flows import Flows, cancelled, inbound_record, open_flows, order
from tests.support.sandbox import SandboxProcess

# A token in 100 s, and a bucket that holds a single one.
SLOW_RATE = 0.01


@pytest.fixture
async def flows(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Flows]:
    async with open_flows(database_dsn, sandbox.base_url) as opened:
        yield opened


@pytest.fixture
async def dispatcher(flows: Flows) -> AsyncIterator[Dispatcher]:
    """A dispatcher that has looked once and found nothing, with an intake that reserves its calls."""
    made = flows.dispatcher()

    async def reserve(_provider: str, calls: int) -> Reservation | None:
        return await made.reserve(calls)

    flows.intake = OrderIntake(
        flows.context(reserve_creates=reserve, wake_dispatcher=made.wake), order_max_age=flows.config.order_max_age
    )
    await made.start()
    await flows.pool.execute("UPDATE provider_budget SET tokens = 100")

    async def looked() -> bool:
        return not made._work_left

    await eventually_async(looked)
    yield made
    await made.stop(5)


async def accept(flows: Flows, *order_ids: str) -> None:
    await flows.intake.accept([inbound_record(order(name), i) for i, name in enumerate(order_ids)])


async def states(flows: Flows) -> dict[str, tuple[Any, ...]]:
    rows = await flows.pool.fetch(
        "SELECT order_id, state, o.attempt, ever_sent, withdrawal FROM operations o JOIN payments p ON p.id = payment_id WHERE kind = 'create'"
    )
    return {row["order_id"]: tuple(row)[1:] for row in rows}


def intents_of(sandbox: SandboxProcess) -> Counter[str]:
    return Counter(e["metadata"]["order_id"] for e in sandbox.ledger() if e["effect"] == "intent.created")


async def test_a_create_is_sent_without_having_been_due(
    flows: Flows, dispatcher: Dispatcher, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing() -> int:
        return 0

    monkeypatch.setattr(dispatcher._claiming, "_run_once", nothing)
    await accept(flows, "o-1", "o-2")
    await flows.run_calls()
    assert intents_of(sandbox) == Counter(["o-1", "o-2"])
    assert {state[:2] for state in (await states(flows)).values()} == {("done", 1)}
    assert dispatcher._reserved == 0


@pytest.mark.invariant("I11")
async def test_no_more_is_reserved_than_there_are_tokens(flows: Flows) -> None:
    made = Dispatcher(
        flows.context(),
        name="stripe",
        config=flows.config.model_copy(update={"provider_rate_per_second": SLOW_RATE}),
        random=Random(7),
    )
    await operations.ensure_budget(flows.pool, "stripe")
    await flows.pool.execute("UPDATE provider_budget SET tokens = 1, refilled_at = clock_timestamp()")
    await made.start()

    async def looked() -> bool:
        return not made._work_left

    await eventually_async(looked)
    reserved = await made.reserve(10)
    assert reserved is not None
    assert (reserved.calls, made._reserved) == (1, 1)
    assert await made.reserve(10) is None
    made.withdraw(reserved, [])
    assert made._reserved == 0
    await made.stop(5)


@pytest.mark.invariant("I1")
async def test_the_create_of_an_order_that_was_canceled_before_is_not_claimed(
    flows: Flows, dispatcher: Dispatcher, sandbox: SandboxProcess
) -> None:
    """It is looked for and ends without a call."""
    intake = OrderCancellationIntake(flows.context(), wake_cancellations=lambda: None)
    await intake.accept([cancelled({"order_id": "o-1"})])
    await accept(flows, "o-1", "o-2")
    assert (await states(flows))["o-1"][1:] != (1, True, None)
    await flows.run_calls()
    assert intents_of(sandbox) == Counter(["o-2"])


async def test_a_blocked_kind_is_not_reserved(flows: Flows, dispatcher: Dispatcher) -> None:
    dispatcher._blocks.saw(frozenset({provider_health.EVERYTHING}))
    assert await dispatcher.reserve(1) is None


async def test_a_batch_that_is_not_committed_frees_its_slots(
    flows: Flows, dispatcher: Dispatcher, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(*_: object) -> None:
        raise asyncpg.ConnectionDoesNotExistError

    with monkeypatch.context() as patched:
        patched.setattr(flows.intake, "_compare", cut)
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await accept(flows, "o-1")
    assert dispatcher._reserved == 0
    assert not dispatcher._owned
    await accept(flows, "o-1")
    await flows.run_calls()
    assert intents_of(sandbox) == Counter(["o-1"])
