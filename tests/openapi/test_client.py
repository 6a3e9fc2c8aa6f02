"""A client that was made from `openapi.json` speaks with a running service."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.support.till import Till

pytestmark = pytest.mark.openapi


async def test_a_refund_through_a_client_for_typescript(till: Till) -> None:
    payment = await till.pay("order-1001")
    names = {"API_URL": f"http://127.0.0.1:{till.port}", "API_KEY": till.key, "PAYMENT_ID": str(payment)}
    process = await asyncio.create_subprocess_exec("node", os.environ["OPENAPI_CLIENT"], env=os.environ | names)
    assert await process.wait() == 0
    refunds = (await till.get(f"/v1/payments/{payment}/refunds")).json["data"]
    assert [refund["amount"] for refund in refunds] == ["5.00"]
