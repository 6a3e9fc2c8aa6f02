"""Test that `/ready` and `doctor` say why the database takes no writes, and that nothing short makes them flap."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime

import asyncpg
import psycopg
import pytest

from payment_service.db import writable
from payment_service.db.maintain import WEEK, week_of
from payment_service.db.pool import ServicePool, open_pool, open_read_pool
from payment_service.db.writable import WriteCheck, write_problem
from tests.support.command import failed_check, run
from tests.support.eventually import eventually, eventually_async
from tests.support.flows import config_for
from tests.support.service import ServiceProcess, StartService
from tests.support.shop import ask

# Without these there are no orders, no publishing, no relay and no calls.
TABLES = ["payments", "outbox_pending", "relay_lease", "provider_budget"]


@pytest.fixture
async def pool(service_dsn: str) -> AsyncIterator[ServicePool]:
    opened = await open_pool(config_for(service_dsn, "http://127.0.0.1:9"))
    yield opened
    opened.terminate()


@contextmanager
def locked(dsn: str, table: str, mode: str = "ACCESS EXCLUSIVE") -> Iterator[None]:
    """Hold a lock in another session. If the session was ended, ignore it."""
    with psycopg.connect(dsn) as session:
        session.execute(f"LOCK TABLE {table} IN {mode} MODE".encode())
        yield
        with suppress(psycopg.OperationalError):
            session.rollback()


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.mark.parametrize("table", TABLES)
async def test_a_locked_table_is_named_with_the_session_that_holds_it(
    pool: ServicePool, database_dsn: str, table: str
) -> None:
    assert await write_problem(pool) is None
    with locked(database_dsn, table):
        problem = await write_problem(pool)
    assert problem is not None
    assert table in problem.found
    assert re.search(r"pg_terminate_backend\([1-9][0-9]*\)", problem.fix)
    assert await write_problem(pool) is None


@pytest.mark.parametrize("mode", ["SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE"])
async def test_a_lock_that_stops_only_writes_is_a_problem(pool: ServicePool, database_dsn: str, mode: str) -> None:
    with locked(database_dsn, "payments", mode):
        assert await write_problem(pool) is not None


async def test_a_lock_on_the_partition_of_this_week_is_a_problem(pool: ServicePool, database_dsn: str) -> None:
    """An index that is built without CONCURRENTLY takes SHARE. Nothing is written to the partitions of earlier weeks."""
    this_week = week_of(datetime.now(UTC))
    with locked(database_dsn, f"payment_events_{this_week:%Y%m%d}", "SHARE"):
        problem = await write_problem(pool)
    assert problem is not None
    assert "payment_events" in problem.found
    with locked(database_dsn, f"payment_events_{this_week - WEEK:%Y%m%d}", "SHARE"):
        assert await write_problem(pool) is None


@pytest.mark.parametrize("mode", ["ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE"])
async def test_a_lock_beside_which_the_service_writes_is_none(pool: ServicePool, database_dsn: str, mode: str) -> None:
    with locked(database_dsn, "payments", mode):
        assert await write_problem(pool) is None


async def test_a_change_of_the_schema_that_waits_for_a_long_read_is_a_problem(
    pool: ServicePool, database_dsn: str
) -> None:
    """Every later statement on the table queues behind it."""
    async with session(database_dsn) as reader, session(database_dsn) as changer:
        reading = reader.transaction()
        await reading.start()
        await reader.fetch("SELECT count(*) FROM payments")
        change = asyncio.create_task(changer.execute("ALTER TABLE payments ADD COLUMN note text"))
        problem = await eventually_async(lambda: write_problem(pool))
        assert problem is not None
        assert str(changer.get_server_pid()) in problem.fix
        await reading.rollback()
        await change
    assert await write_problem(pool) is None


async def test_two_short_locks_are_not_a_long_one(
    pool: ServicePool, database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with session(database_dsn) as short:
        first = short.transaction()
        await first.start()
        await short.execute("LOCK TABLE payments")
        looks = 0

        async def next_transaction(_seconds: float) -> None:
            nonlocal looks
            looks += 1
            await first.rollback()
            await short.execute("BEGIN; LOCK TABLE payments")

        monkeypatch.setattr("payment_service.db.writable.asyncio.sleep", next_transaction)
        assert await write_problem(pool) is None
        assert looks == 1
        await short.execute("ROLLBACK")


async def test_callers_share_a_check(pool: ServicePool, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = 0

    async def counted(_pool: ServicePool) -> None:
        nonlocal checks
        checks += 1

    monkeypatch.setattr(writable, "write_problem", counted)
    check = WriteCheck(pool)
    await asyncio.gather(*(check.problem() for _ in range(50)))
    assert checks == 1


async def test_a_read_only_server_is_left_by_all_pools(pool: ServicePool, database_dsn: str) -> None:
    """A new connection to it is refused, so that no pool reads or writes there."""
    reads = await open_read_pool(config_for(database_dsn, "http://127.0.0.1:9"), beside=pool)
    assert await reads.fetchval("SELECT count(*) FROM payments") == 0
    name = database_dsn.rpartition("/")[2]
    async with session(database_dsn) as admin:
        await admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await pool.expire_connections()
        problem = await write_problem(pool)
        assert problem is not None
        assert "read-only" in problem.found
        for left in (pool, reads):
            with pytest.raises(OSError, match="accepts writes"):
                await left.fetchval("SELECT 1")
        await admin.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    assert await write_problem(pool) is None
    assert await reads.fetchval("SELECT 1") == 1
    reads.terminate()


@pytest.mark.parametrize("sqlstate", ["25006", "57P01", "57P02", "57P03"])
async def test_an_error_of_a_lost_server_drops_all_connections(
    pool: ServicePool, database_dsn: str, sqlstate: str
) -> None:
    reads = await open_read_pool(config_for(database_dsn, "http://127.0.0.1:9"), beside=pool)
    before = {await pid(pool), await pid(reads)}
    with pytest.raises(asyncpg.PostgresError):
        await pool.execute(f"DO $$ BEGIN RAISE EXCEPTION 'gone' USING ERRCODE = '{sqlstate}'; END $$")
    assert not before & {await pid(pool), await pid(reads)}
    reads.terminate()


async def test_another_error_keeps_the_connections(pool: ServicePool) -> None:
    before = await pid(pool)
    with pytest.raises(asyncpg.PostgresError):
        await pool.execute("DO $$ BEGIN RAISE EXCEPTION 'bad' USING ERRCODE = '23505'; END $$")
    assert await pid(pool) == before


async def test_a_connection_is_not_used_beyond_its_age(
    service_dsn: str, database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy pool would keep it for days, and with it a server that a name no longer leads to."""
    with monkeypatch.context() as patch:
        patch.setattr("payment_service.db.pool.CONNECTION_AGE_MAX_S", 0)
        pool = await open_pool(config_for(service_dsn, "http://127.0.0.1:9"))
    async with session(database_dsn) as admin:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'payment-service' AND datname = current_database()"
        old = {row["pid"] for row in await admin.fetch(query)}
    assert len(old) == 2
    assert not old & {await pid(pool) for _ in range(4)}
    pool.terminate()


async def pid(pool: asyncpg.Pool[asyncpg.Record]) -> int:
    return int(await pool.fetchval("SELECT pg_backend_pid()"))


def database_check(service: ServiceProcess) -> tuple[int, str]:
    status, text = ask(f"{service.url}/ready")
    return status, str(json.loads(text)["checks"]["database"])


def test_a_process_says_that_a_table_is_locked_and_recovers(
    start_service: StartService, database_dsn: str, service_env: dict[str, str]
) -> None:
    """`doctor` prints the statement that ends the lock."""
    service = start_service()
    assert database_check(service) == (200, "ok")
    with locked(database_dsn, "payments"):
        eventually(lambda: database_check(service)[0] == 503)
        assert "table payments" in database_check(service)[1]
        assert "pg_terminate_backend" not in database_check(service)[1]
        assert ask(f"{service.url}/health")[0] == 200
        report = run("doctor", env=service_env)
        line = failed_check(report, "database")
        with psycopg.connect(database_dsn, autocommit=True) as admin:
            admin.execute(line.rpartition("session: ")[2].encode())
        eventually(lambda: database_check(service) == (200, "ok"))
