"""The checks of `doctor` on the page Health: the real ones, run one at a time, kept for some seconds."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus

import pytest

from payment_service.contracts.findings import Finding, Verdict
from payment_service.doctor.checks import examine
from payment_service.pages import checks
from payment_service.pages.checks import Checks
from tests.support.eventually import eventually_async
from tests.support.flows import open_flows
from tests.support.pages import serve_pages


async def test_health_shows_the_lines_of_doctor_with_the_fix(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broker and Stripe are away: the page opens all the same, and later says so."""
    monkeypatch.setattr(checks, "WAIT_S", 0.0)
    async with (
        open_flows(database_dsn, "http://127.0.0.1:9", admin_port=8083) as flows,
        serve_pages(flows, partial(examine, flows.config)) as pages,
    ):
        vera = await pages.log_in("vera", "viewer")
        first = await vera.get("/health")
        assert first.status == HTTPStatus.OK
        assert b"The checks still run" in first.body

        async def shown() -> str:
            text = (await vera.get("/health")).body.decode()
            return text if "Checked" in text else ""

        text = await eventually_async(shown)
        assert "answers and takes writes" in text
        assert "check KAFKA_BROKERS and that the broker runs" in text
        assert "check STRIPE_API_BASE, HTTPS_PROXY and the network" in text


async def test_reloads_do_not_repeat_the_checks() -> None:
    runs = 0

    async def run() -> list[Finding]:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        return [Finding(Verdict.OK, "stripe", f"run {runs}")]

    kept = Checks(run)
    for _ in range(3):
        for found, _ in await asyncio.gather(*(kept.read() for _ in range(5))):
            assert found is not None
            assert found[0].found == "run 1"
    assert runs == 1


async def test_old_result_is_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "KEPT_S", 0.0)
    runs = iter(range(10))

    async def run() -> list[Finding]:
        return [Finding(Verdict.OK, "stripe", f"run {next(runs)}")]

    kept = Checks(run)
    assert [(await kept.read())[0] for _ in range(2)] == [
        [Finding(Verdict.OK, "stripe", "run 0")],
        [Finding(Verdict.OK, "stripe", "run 1")],
    ]


async def test_lost_connection_is_a_line_and_not_an_error() -> None:
    async def run() -> list[Finding]:
        raise ConnectionResetError("reset by peer")

    found, _ = await Checks(run).read()
    assert found is not None
    assert found[0].verdict is Verdict.FAILED
    assert "interrupted" in found[0].found
