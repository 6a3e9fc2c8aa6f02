"""Fill a database as a store's day does: payments of every status, refunds, disputes, canceled and rejected orders."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Final

from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.timers.cancelled_orders import CancelledOrders
from tests.support.eventually import eventually_async
from tests.support.flows import cancelled, inbound_record, name_of
from tests.support.harness import Harness, open_harness
from tests.support.sandbox import SandboxProcess

# The relay's work without a broker: each record gets its position as its offset.
PLACE_ALL: Final = """
WITH published AS (DELETE FROM outbox_pending RETURNING position, created_at)
INSERT INTO outbox_placements (position, created_at, partition, record_offset) SELECT position, created_at, 0, position FROM published
"""


def fill(dsn: str) -> None:
    """Run the store on this database."""
    with tempfile.TemporaryDirectory() as folder:
        sandbox = SandboxProcess(Path(folder), in_memory=True)
        sandbox.start()
        try:
            asyncio.run(_fill(dsn, sandbox))
        finally:
            sandbox.clean_up()


async def _fill(dsn: str, sandbox: SandboxProcess) -> None:
    async with open_harness(dsn, sandbox) as harness:
        await live_a_day(harness)
        await harness.flows.pool.execute(PLACE_ALL)


async def live_a_day(harness: Harness) -> None:
    """Take orders `o-…`, named after what becomes of them."""
    await harness.flows.accept("o-pending", "o-canceled", "o-free")
    await harness.flows.intake.accept([inbound_record(b"no json", 99)])
    await harness.flows.accept("o-zero", total="0.00")
    await harness.pay("o-paid")
    await _declined(harness, "o-declined")
    await _hold(harness, "o-authorized")
    captured = await _hold(harness, "o-captured")
    await harness.post(f"/v1/payments/{captured}/capture", {"amount": "15.00"})
    await harness.post(f"/v1/payments/{name_of('o-canceled')}/cancel", {})
    await harness.run_until_idle()
    await _refund_in_every_way(harness)
    await harness.pay("o-disputed", "pm_card_createDispute")
    await _cancel_orders(harness)
    await harness.run_until_idle()


async def _hold(harness: Harness, order_id: str) -> object:
    await harness.flows.accept(order_id, capture_method="manual")
    return await harness.pay(order_id)


async def _declined(harness: Harness, order_id: str) -> None:
    await harness.flows.accept(order_id)
    await harness.flows.run_calls()
    intent = (await harness.flows.payment(order_id))["provider_payment_id"]
    client: Any = harness.sandbox.client()
    try:
        client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa_chargeDeclined"})
    except Exception as error:
        if getattr(error, "http_status", None) != 402:
            raise
    await harness.deliver()


async def _refund_in_every_way(harness: Harness) -> None:
    for order_id in ("o-refunded", "o-partly", "o-dashboard", "o-returned"):
        await harness.pay(order_id)
    await harness.refund(name_of("o-refunded"))
    await harness.refund(name_of("o-partly"), "5.00")
    await harness.refund(name_of("o-returned"), "2.00")
    client: Any = harness.sandbox.client()
    intent = (await harness.flows.payment("o-dashboard"))["provider_payment_id"]
    client.v1.refunds.create({"payment_intent": intent, "amount": 300})
    await harness.run_until_idle()
    refund_id = await harness.flows.pool.fetchval(
        "SELECT provider_refund_id FROM refunds WHERE payment_id = $1", name_of("o-returned")
    )
    await asyncio.to_thread(harness.sandbox.settle_refund, refund_id, "fail")
    await harness.run_until_idle()


async def _cancel_orders(harness: Harness) -> None:
    await harness.flows.accept("o-unwanted")
    await harness.flows.run_calls()
    record = cancelled({"order_id": "o-unwanted"}, 1)
    await OrderCancellationIntake(harness.context()).accept([record, cancelled({"order_id": "o-later"}, 2)])
    worker = CancelledOrders(harness.context(), refund=False)

    async def finished() -> bool:
        await harness.flows.pool.execute("UPDATE order_cancellations SET due_at = now() WHERE due_at IS NOT NULL")
        await worker.run_once()
        await harness.run_until_idle()
        return not await harness.flows.pool.fetchval(
            "SELECT count(*) FROM order_cancellations WHERE due_at IS NOT NULL"
        )

    await eventually_async(finished, timeout_s=30)
