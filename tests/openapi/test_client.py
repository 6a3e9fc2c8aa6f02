"""A client generated from `openapi.json` works with a running service."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.support.harness import Harness

pytestmark = pytest.mark.openapi


async def test_a_typescript_client_refunds_a_payment(harness: Harness) -> None:
    payment = await harness.pay("order-1001")
    names = {"API_URL": f"http://127.0.0.1:{harness.port}", "API_KEY": harness.key, "PAYMENT_ID": str(payment)}
    process = await asyncio.create_subprocess_exec("node", os.environ["OPENAPI_CLIENT"], env=os.environ | names)
    assert await process.wait() == 0
    refunds = (await harness.get(f"/v1/payments/{payment}/refunds")).json["data"]
    assert [refund["amount"] for refund in refunds] == ["5.00"]
