"""Test the signals between processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from payment_service.db import wakeups
from payment_service.db.pool import Pool, open_pool
from payment_service.db.wakeups import DISPATCH, RELAY, Wakeups
from tests.support.eventually import eventually_async
from tests.support.flows import config_for

LISTENING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'payment-service-wakeups'"


@pytest.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(config_for(database_dsn, "http://127.0.0.1:9"))
    yield opened
    opened.terminate()


async def started(database_dsn: str, received: dict[str, Callable[[], None]]) -> Wakeups:
    """Start the signals of a process. Each loop is woken once when its process begins to listen."""
    made = Wakeups(config_for(database_dsn, "http://127.0.0.1:9"), received)
    made.start()
    return made


async def test_a_signal_wakes_the_loops_of_other_processes_only(database_dsn: str) -> None:
    woken = {"ours": asyncio.Event(), "theirs": asyncio.Event(), "their dispatcher": asyncio.Event()}
    ours = await started(database_dsn, {RELAY: woken["ours"].set})
    theirs = await started(database_dsn, {RELAY: woken["theirs"].set, DISPATCH: woken["their dispatcher"].set})
    async with asyncio.timeout(20):
        for event in woken.values():
            await event.wait()
            event.clear()
        ours.send(RELAY)
        await woken["theirs"].wait()
        theirs.send(RELAY)
        await woken["ours"].wait()
    assert not woken["their dispatcher"].is_set()
    await ours.stop()
    await theirs.stop()


async def test_a_lost_connection_is_opened_again(
    database_dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "RECONNECT_PAUSE_S", 0.05)
    woken = asyncio.Event()
    ours = await started(database_dsn, {RELAY: woken.set})
    async with asyncio.timeout(20):
        await woken.wait()
        woken.clear()
        await pool.execute(LISTENING.replace("count(*)", "pg_terminate_backend(pid)"))
        await woken.wait()

    async def listens() -> bool:
        return bool(await pool.fetchval(LISTENING))

    await eventually_async(listens)
    await ours.stop()
