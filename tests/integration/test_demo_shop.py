"""Test the server behind the demo's page against a real service: which payments a page may change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from payment_service.contracts.records import ORDERS_CREATED
from payment_service_demo.embedded.process import ChildProcess
from payment_service_demo.environment import Environment
from payment_service_demo.received import ReceivedRecord, ReceivedRecords
from payment_service_demo.shop import Shop
from tests.support.flows import name_of
from tests.support.harness import Harness
from tests.support.http import Answer, ask


@pytest.fixture
def shop(harness: Harness, tmp_path: Path) -> Iterator[Shop]:
    """Create a shop that has placed an order but received no record of it."""
    received = ReceivedRecords()
    received.add_order("order-1", ReceivedRecord(ORDERS_CREATED, {"order_id": "order-1"}))
    service = ChildProcess(["true"], log=tmp_path / "service.log")
    env = {"KAFKA_BROKERS": "127.0.0.1:9", "SERVICE_PORT": str(harness.port)}
    try:
        with Shop(
            Environment(env=env, sandbox_url=harness.sandbox.base_url, api_key=harness.key, service=service), received
        ) as shop:
            yield shop
    finally:
        service.stop()


async def cancel(shop: Shop, payment_id: UUID) -> Answer:
    port = urlsplit(shop.url).port or 0
    body = json.dumps({"order_id": "order-1", "payment_id": str(payment_id)}).encode()
    return await ask(port, "POST", "/cancel", {"host": f"127.0.0.1:{port}", "content-type": "application/json"}, body)


async def test_a_payment_can_be_canceled_before_the_shop_receives_its_event(shop: Shop, harness: Harness) -> None:
    """The page has the payment id from the checkout, which may be faster than Kafka."""
    await harness.flows.accept("order-1")
    await harness.flows.run_calls()
    assert (await cancel(shop, name_of("order-1"))).status == 201
    await harness.run_until_idle()
    assert (await harness.flows.payment("order-1"))["status"] == "canceled"


async def test_a_payment_of_another_order_cannot_be_changed(shop: Shop, harness: Harness) -> None:
    await harness.flows.accept("order-2")
    assert (await cancel(shop, name_of("order-2"))).status == 404
