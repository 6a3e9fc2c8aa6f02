"""Events that a release before this one had stored and did not understand: `maintain` lets this one try them, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from payment_service.db.maintain import maintain
from tests.support.harness import Harness, open_harness
from tests.support.sandbox import SandboxProcess


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path, in_memory=True)
    process.start()
    yield process
    process.clean_up()


@pytest.fixture
async def harness(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Harness]:
    async with open_harness(database_dsn, sandbox) as opened:
        yield opened


async def test_events_that_the_release_before_had_stored_are_applied(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    intent_id = (await harness.flows.payment("o-1"))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    client.v1.refunds.create({"payment_intent": intent_id, "amount": 500})
    await harness.run_until_idle()
    pool = harness.flows.pool
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("DELETE FROM refunds")
        await connection.execute("UPDATE payments SET refunded = 0")
        await connection.execute(
            "UPDATE payment_events SET processed = false, processed_at = NULL, result = 'deferred', payment_id = NULL"
            " WHERE event_type LIKE 'refund.%' OR event_type = 'charge.refunded'"
        )
    lines: list[str] = []
    await asyncio.to_thread(maintain, harness.dsn, report=lines.append)
    assert any("deferred" in line for line in lines)
    await harness.run_until_idle()
    assert (await harness.get(f"/v1/payments/{payment}")).json["amount_refunded"] == "5.00"


async def test_an_event_that_is_malformed_to_this_release_too_is_tried_once_and_stays_parked(harness: Harness) -> None:
    """Every day's `maintain` would else try it again, and its alarm would go off and on."""
    await harness.pay("o-1")
    pool = harness.flows.pool
    await pool.execute(
        "INSERT INTO payment_events (event_type, provider, provider_event_id, payload, processed, result, parked_reason, verified_by, verified_at, occurred_at)"
        " VALUES ('refund.updated', 'stripe', 'evt_1', '{}', false, 'malformed', 'malformed', 'suite', now(), date_trunc('second', now()))"
    )
    taken_up = []
    for _ in range(3):
        lines: list[str] = []
        await asyncio.to_thread(maintain, harness.dsn, report=lines.append)
        taken_up.append([line for line in lines if "deferred" in line])
        await harness.run_until_idle()
        parked = await pool.fetchval("SELECT parked_reason FROM payment_events WHERE provider_event_id = 'evt_1'")
        assert parked == "malformed"
    assert taken_up == [["1 deferred events taken up"], [], []]
