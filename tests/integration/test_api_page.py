"""Test docs/api.md: each command runs and returns the response shown, and no call or error is missing."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from payment_service.db.api_keys import Scope
from payment_service.http.problems import PROBLEM_TYPES
from scripts.document_api import described
from tests.support.api_page import PAGE, Shown, difference, steps
from tests.support.deliveries import SECRET
from tests.support.flows import name_of
from tests.support.harness import Harness, open_harness
from tests.support.sandbox import SandboxProcess

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("openssl") is None,
    reason="there is no curl, or no openssl, to run the page's commands",
)


@pytest.fixture
async def harness(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Harness]:
    """Create the orders of the page: paid, unpaid, canceled and authorized."""
    async with open_harness(database_dsn, sandbox, stripe_publishable_key="pk_test_suite") as opened:
        await opened.pay("order-1001")
        await opened.flows.accept("order-1002", "order-1003")
        await opened.flows.accept("order-1004", capture_method="manual")
        await opened.pay("order-1004")
        client: Any = sandbox.client()
        client.v1.payment_intents.cancel((await opened.flows.payment("order-1003"))["provider_payment_id"])
        await opened.run_until_idle()
        yield opened


def names(harness: Harness) -> dict[str, str]:
    """Return the variables that the commands need, as the page names them."""
    orders = {"PAYMENT": "order-1001", "UNPAID": "order-1002", "HELD": "order-1004"}
    known = {"API": f"http://127.0.0.1:{harness.port}", "KEY": harness.key, "SECRET": SECRET}
    return known | {name: str(name_of(order)) for name, order in orders.items()}


async def run(command: str, environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-euc",
        command,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b""), errors.decode()
    return output.decode()


@needs_curl
async def test_every_command_on_the_page_returns_the_response_shown(harness: Harness) -> None:
    """Compare status, headers and shape, but not values."""
    for command, shown in steps():
        real = Shown.read(await run(command, names(harness)))
        assert real.status == shown.status, (command, real)
        assert shown.headers.keys() <= real.headers.keys(), (command, real)
        assert difference(shown.body, real.body) == [], command
        if "instance" not in shown.body and "type" in shown.body:
            assert shown.body["type"] == real.body["type"], command
            assert shown.body["detail"] == real.body["detail"], command


def test_the_page_lists_every_call() -> None:
    called = {
        (re.search(r"-X (\w+)", command) or ["", "GET"])[1]
        + " "
        + re.sub(r"\$(PAYMENT|UNPAID|HELD|REFUND|PROVIDER)", "{}", path)
        for command, _ in steps()
        for path in re.findall(r'curl -sSi.*?"\$API([^"?]*)', command)
    }
    assert {path for path in called if "0000" not in path} == {
        f"{method.upper()} {re.sub(r'{[a-z_]+}', '{}', path)}"
        for path, item in described()["paths"].items()
        for method in item
    }


def test_the_page_lists_every_problem_type_with_its_status() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", PAGE.read_text(), re.MULTILINE)
    assert sorted((slug, int(status)) for slug, status in rows) == sorted(
        (kind.slug, kind.status) for kind in PROBLEM_TYPES
    )


def test_the_page_lists_every_scope_and_status() -> None:
    documented = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE.read_text(), re.MULTILINE)))
    statuses = described()["components"]["schemas"]["Payment"]["properties"]["status"]["x-extensible-enum"]
    assert {*Scope, *statuses} <= set(documented)
