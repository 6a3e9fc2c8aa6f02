"""Test relay processes that are killed or paused, and their successors."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from payment_service.config.config import Config
from payment_service.db.pool import Pool
from payment_service_demo.embedded.process import ChildProcess
from tests.support.eventually import eventually_async
from tests.support.kafka import Topics
from tests.support.outbox import (
    INITIATED,
    distinct,
    drained,
    first_occurrences,
    pending,
    records,
    relaying,
    sequences,
    write,
)

ROOT = Path(__file__).parents[2]
PAYMENTS, RECORDS = 40, 5
StartProcess = Callable[..., ChildProcess]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the path of the process's log."""
    return tmp_path / "relay.log"


@pytest.fixture
def start_process(service_env: dict[str, str], log: Path) -> Iterator[StartProcess]:
    """Return a function that starts a relay in its own process."""
    started: list[ChildProcess] = []

    def start(**changes: str) -> ChildProcess:
        env = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **service_env, **changes}
        started.append(ChildProcess([sys.executable, "-m", "tests.support.relay_process"], log=log, env=env))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def log_text(log: Path) -> str:
    """Return the log of the process."""
    return log.read_text()


async def fill(pool: Pool) -> dict[bytes | None, list[int]]:
    """Write records of some payments, and return the expected sequences."""
    payments = [uuid.uuid4() for _ in range(PAYMENTS)]
    await write(pool, [record for payment in payments for record in records(payment, RECORDS)])
    return {str(payment).encode(): list(range(1, RECORDS + 1)) for payment in payments}


async def expire_lease(pool: Pool) -> None:
    """Expire the lease of six seconds at once."""
    await pool.execute("UPDATE relay_lease SET expires_at = '-infinity'")


@pytest.mark.kafka
@pytest.mark.parametrize("moment", ["relay.produce.before:60", "relay.acknowledged:2", "relay.mark.after:2"])
async def test_records_survive_a_kill_of_the_relay_at_any_moment(
    moment: str, config: Config, pool: Pool, topics: Topics, start_process: StartProcess, log: Path
) -> None:
    """Deduplicated by `ce_id`, each record is published exactly once, in order per payment."""
    expected = await fill(pool)
    process = start_process(CRASH_AT=moment)
    await eventually_async(lambda: not process.running)
    assert process.stop() == -signal.SIGKILL
    assert f"crash point reached: {moment.partition(':')[0]}" in log_text(log)
    assert await pending(pool) > 0
    await expire_lease(pool)
    async with relaying(config, pool):
        await drained(pool)
    seen = await asyncio.to_thread(topics.read, distinct(PAYMENTS * RECORDS), topics=[INITIATED])
    assert len(first_occurrences(seen)) == PAYMENTS * RECORDS
    assert sequences(seen) == expected


async def test_a_successor_publishes_within_ten_seconds_of_a_kill(
    config: Config, pool: Pool, topics: Topics, start_process: StartProcess
) -> None:
    """Nothing notifies it: the dead relay's lease expires."""
    process = start_process()
    await write(pool, records(uuid.uuid4()))
    await drained(pool)
    async with relaying(config, pool) as successor:
        assert not successor.leads
        process.kill()
        await write(pool, records(uuid.uuid4()))
        await drained(pool, timeout_s=10)
        assert successor.leads


@pytest.mark.kafka
async def test_a_paused_relay_changes_neither_order_nor_marks_when_it_resumes(
    config: Config, pool: Pool, topics: Topics, start_process: StartProcess, log: Path
) -> None:
    """It may repeat its records in flight, then notices that another relay leads."""
    process = start_process()
    await eventually_async(lambda: "relay_started_leading" in log_text(log))
    expected = await fill(pool)

    async def some_are_out() -> bool:
        return await pending(pool) < PAYMENTS * RECORDS

    await eventually_async(some_are_out, interval_s=0.001)
    os.kill(process.pid, signal.SIGSTOP)
    await expire_lease(pool)
    async with relaying(config, pool) as successor:
        await drained(pool)
        expected |= await fill(pool)
        os.kill(process.pid, signal.SIGCONT)
        await eventually_async(lambda: "relay_stopped_leading" in log_text(log))
        await drained(pool)
        assert successor.leads
    seen = await asyncio.to_thread(topics.read, distinct(2 * PAYMENTS * RECORDS), topics=[INITIATED])
    assert sequences(seen) == expected
