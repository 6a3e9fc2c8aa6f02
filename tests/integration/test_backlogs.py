"""Test that polling a large backlog costs no more than polling a small one."""

from __future__ import annotations

import pytest

from payment_service.db import health, operations
from payment_service.db.operations import Claimed
from payment_service.db.queries import load
from tests.support.flows import Flows


async def test_a_blocked_provider_reads_no_backlog_between_probes(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each poll used to pass over all due operations: 30 ms with 100,000 orders, ten times a second."""
    looks = 0

    async def look(*_: object, **__: object) -> list[Claimed]:
        nonlocal looks
        looks += 1
        return []

    monkeypatch.setattr(operations, "claim", look)
    await flows.accept("o-1")
    await health.block(flows.pool, "stripe", health.EVERYTHING, "http_401")
    dispatcher = flows.dispatcher()
    assert await dispatcher.claim_once() == 0
    assert looks == 0
    await flows.pool.execute("UPDATE provider_health SET probe_at = now()")
    await dispatcher.claim_once()
    assert looks == 1


async def test_counting_parked_events_and_operations_reads_no_others(flows: Flows) -> None:
    """There may be very many waiting rows, but few parked ones."""
    await flows.pool.execute(
        "INSERT INTO payment_events (event_type, provider, provider_event_id, payload, processed, verified_by, verified_at, occurred_at) "
        "SELECT 'charge.refunded', 'stripe', 'evt_' || i, '{}', false, 's', now(), now() FROM generate_series(1, 5000) i"
    )
    await flows.accept(*[f"o-{i}" for i in range(1000)])
    await flows.pool.execute("ANALYZE")
    gauges = load("payment_service.db", "gauges.sql").gauges.replace("$1", "'{create,refund}'")
    plan = "\n".join(row[0] for row in await flows.pool.fetch(f"EXPLAIN {gauges}"))
    assert "parked_reason_idx" in plan or "payment_events_parked" in plan, plan
    assert "operations_parked" in plan, plan
