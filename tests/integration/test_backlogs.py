"""Test that polling a large backlog costs no more than polling a small one."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from payment_service.db import operations, provider_health
from payment_service.db.operations import ClaimedBatch
from payment_service.db.queries import load
from tests.support.flows import Flows


async def test_a_blocked_provider_reads_no_backlog_between_probes(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each poll used to pass over all due operations: 30 ms with 100,000 orders, ten times a second."""
    looks = 0

    async def look(*_: object, **__: object) -> ClaimedBatch:
        nonlocal looks
        looks += 1
        now = datetime.now(UTC)
        return ClaimedBatch(operations=[], at=now, looked_until=now, free_calls=1)

    monkeypatch.setattr(operations, "claim", look)
    await flows.accept("o-1")
    await provider_health.block(flows.pool, "stripe", provider_health.EVERYTHING, "http_401")
    dispatcher = flows.dispatcher()
    assert await dispatcher.claim_once() == 0
    assert looks == 0
    await flows.pool.execute("UPDATE provider_health SET probe_at = now()")
    await dispatcher.claim_once()
    assert looks == 1


# Generic parameters: kind, time, reason and id are not known to the plan.
STATEMENTS = {"list": "NULL, NULL, NULL, NULL, 101", "count": "100000"}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_listing_and_counting_what_needs_attention_reads_no_other_rows(flows: Flows, name: str) -> None:
    """There may be very many waiting rows, but few that need attention."""
    await flows.pool.execute(
        "INSERT INTO payment_events (event_type, provider, provider_event_id, payload, processed, verified_by, verified_at, occurred_at) "
        "SELECT 'charge.refunded', 'stripe', 'evt_' || i, '{}', false, 's', now(), now() FROM generate_series(1, 5000) i"
    )
    await flows.pool.execute(
        "INSERT INTO quarantine (id, source, reason, detail, replayed_at) "
        "SELECT gen_random_uuid(), 'kafka', 'not_json', '', now() FROM generate_series(1, 5000)"
    )
    await flows.accept(*[f"o-{i}" for i in range(1000)])
    await flows.pool.execute("ANALYZE")
    statement = getattr(load("payment_service.db", "attention.sql"), name)
    async with flows.pool.acquire() as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE asked AS {statement}")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE asked ({STATEMENTS[name]})"))
    assert "parked_reason_idx" in plan or "payment_events_parked" in plan, plan
    assert all(index in plan for index in ("operations_parked", "quarantine_open")), plan
    assert re.findall(r"Seq Scan on (?!parked_aggregates|payments)\w+", plan) == [], plan
