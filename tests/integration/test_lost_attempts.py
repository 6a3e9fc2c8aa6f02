"""A payment that was opened on request and lost by a restore: it is found at the provider, and never made twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from payment_service.db.recovery import begin, finish
from payment_service.flows.operators.recover import Recovery
from tests.support.backup import Backup, published_record
from tests.support.flows import name_of
from tests.support.harness import Harness

DAY_S = 25 * 3600


def pass_a_day(harness: Harness) -> None:
    harness.sandbox.advance(DAY_S)
    harness.flows.clock.ahead += timedelta(seconds=DAY_S)


@pytest.mark.invariant("I1")
async def test_a_payment_opened_on_request_and_lost_is_found_when_it_is_opened_again(harness: Harness) -> None:
    """The customer paid the second attempt, and Stripe has forgotten its key. `recover` names it."""
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    assert (await harness.post(f"/v1/payments/{name_of('o-1')}/cancel", {})).status == 201
    await harness.run_until_idle()
    backup = await asyncio.to_thread(Backup.take, harness.dsn)
    opened = (await harness.post("/v1/payments", {"order_id": "o-1"}, "job-1")).json["id"]
    await harness.flows.run_calls()
    rows = await harness.flows.pool.fetch("SELECT * FROM outbox WHERE aggregateid = $1", UUID(opened))
    intent_id = await harness.flows.pool.fetchval("SELECT provider_payment_id FROM payments WHERE attempt = 2")
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"})
    await harness.dispatcher.stop(5)
    await asyncio.to_thread(backup.restore, harness.dsn)
    recovery = Recovery(
        harness.context(), await begin(harness.flows.pool, backup.taken_at), rate_per_s=1000, dry_run=False
    )
    await recovery.store([published_record(row, offset) for offset, row in enumerate(rows)])
    await recovery.write_records()
    await recovery.list_missing()
    [open_item] = recovery.done.open
    assert f"{opened} (attempt 2 of order o-1)" in open_item
    await finish(harness.flows.pool)
    pass_a_day(harness)
    harness.dispatcher = harness.flows.dispatcher()
    await harness.dispatcher.start()
    assert (await harness.post("/v1/payments", {"order_id": "o-1"}, "job-2")).json["id"] == opened
    await harness.run_until_idle()
    assert [entry["effect"] for entry in harness.sandbox.ledger()].count("intent.created") == 2, "one per attempt"
    assert (await harness.get(f"/v1/payments/{opened}")).json["status"] == "succeeded"
    published = [topic for topic, _ in await harness.published(UUID(opened))]
    assert published == ["initiated", "succeeded"]
