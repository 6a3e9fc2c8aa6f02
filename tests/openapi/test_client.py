"""A client that was made from `openapi.json` speaks with a running service."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.sandbox import SandboxProcess
from tests.support.till import Till, open_till

pytestmark = pytest.mark.openapi


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path, in_memory=True)
    process.start()
    yield process
    process.clean_up()


@pytest.fixture
async def till(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Till]:
    async with open_till(database_dsn, sandbox) as opened:
        yield opened


async def test_a_refund_through_a_client_for_typescript(till: Till) -> None:
    payment = await till.pay("order-1001")
    names = {"API_URL": f"http://127.0.0.1:{till.port}", "API_KEY": till.key, "PAYMENT_ID": str(payment)}
    process = await asyncio.create_subprocess_exec("node", os.environ["OPENAPI_CLIENT"], env=os.environ | names)
    assert await process.wait() == 0
    refunds = (await till.get(f"/v1/payments/{payment}/refunds")).json["data"]
    assert [refund["amount"] for refund in refunds] == ["5.00"]
