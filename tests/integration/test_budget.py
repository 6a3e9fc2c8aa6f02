"""Test that checkouts and operations share one call budget and neither starves the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from payment_service.db import budget, operations, workers
from tests.support.flows import Flows, open_flows
from tests.support.sandbox import SandboxProcess

# So slow that a bucket grants only its initial content during a test.
NEVER = 1e-9


@pytest.fixture
async def flows(database_dsn: str) -> AsyncIterator[Flows]:
    async with open_flows(database_dsn, "http://127.0.0.1:9") as opened:
        await opened.accept("o-1", "o-2", "o-3")
        await operations.ensure_budget(opened.pool, "stripe")
        yield opened


async def fill(flows: Flows, tokens: float, checkout_tokens: float) -> None:
    await flows.pool.execute("UPDATE provider_budget SET tokens = $1, checkout_tokens = $2", tokens, checkout_tokens)


async def spend(flows: Flows) -> bool:
    return await budget.spend_on_checkout(flows.pool, "stripe", rate_per_s=NEVER)


async def claim(flows: Flows, worker: UUID) -> int:
    return len(await flows.claim(worker, slots=16, rate_per_s=NEVER, burst=1000))


async def test_a_checkout_borrows_one_call_when_operations_use_the_budget(flows: Flows) -> None:
    """It may borrow one, so that no second exceeds the rate. Operations wait until it is paid back."""
    worker = flows.dispatcher().worker
    await workers.register(flows.pool, worker)
    await fill(flows, 0.5, 3)
    assert [await spend(flows) for _ in range(2)] == [True, False]
    assert await claim(flows, worker) == 0
    assert -0.6 < await flows.pool.fetchval("SELECT tokens FROM provider_budget") < -0.4
    await fill(flows, 2, 0)
    assert await claim(flows, worker) == 2


@pytest.mark.invariant("I11")
async def test_checkouts_never_exceed_their_share(flows: Flows) -> None:
    await fill(flows, 1, 1)
    granted = await asyncio.gather(*(spend(flows) for _ in range(20)))
    assert sum(granted) == 1


async def test_a_provider_never_called_has_no_budget(flows: Flows) -> None:
    assert not await budget.spend_on_checkout(flows.pool, "another", rate_per_s=1000)


@pytest.mark.parametrize("rate", [0.1, 1, 5, 20, 25, 100])
def test_no_second_exceeds_the_rate_by_more_than_a_quarter(rate: float) -> None:
    """At the default rate this is Stripe's own limit of 25.

    A slow rate may make one call and borrow one in any second.
    """
    most = budget.burst(rate) + 1 + rate
    assert most <= max(1.25 * rate, 2 + rate)


async def test_a_claim_waits_for_several_tokens(
    database_dsn: str, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured before: a claim for each call, which doubled the CPU of an order while the budget was the limit."""
    claims: list[int] = []
    claim_operations = operations.claim

    async def counted(*arguments: Any, **more: Any) -> operations.ClaimedBatch:
        batch = await claim_operations(*arguments, **more)
        claims.append(len(batch.operations))
        return batch

    monkeypatch.setattr(operations, "claim", counted)
    async with open_flows(database_dsn, sandbox.base_url, provider_rate_per_second=100.0) as flows:
        await flows.accept(*(f"o-{n}" for n in range(120)))
        dispatcher = flows.dispatcher()
        await dispatcher.start()
        await flows.run_calls()
        await dispatcher.stop(5)
    assert sum(claims) == 120
    assert len(claims) < 60, claims
