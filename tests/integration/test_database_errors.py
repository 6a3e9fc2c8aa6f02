"""Test that records wait during database errors, and are only quarantined for their own errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from payment_service.db import operations, workers
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.flows.intake.records import BATCH_TRIES
from tests.support.eventually import NeverHappenedError
from tests.support.flows import Flows, inbound_record, open_flows, order
from tests.support.sandbox import SandboxProcess


@pytest.fixture
async def flows(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Flows]:
    async with open_flows(database_dsn, sandbox.base_url) as opened:
        yield opened


TROUBLES = ["53100", "53200", "42501", "42P01", "57P01", "58030", "25006", "55P03"]


async def _raise_on(flows: Flows, change: str, table: str, sqlstate: str) -> None:
    await flows.pool.execute(
        f"CREATE FUNCTION trip() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'in trouble' USING ERRCODE = '{sqlstate}'; END $$"
    )
    await flows.pool.execute(f"CREATE TRIGGER trip BEFORE {change} ON {table} EXECUTE FUNCTION trip()")


@pytest.mark.parametrize("sqlstate", TROUBLES)
async def test_a_database_error_quarantines_no_valid_order(flows: Flows, sqlstate: str) -> None:
    """A full disk, a revoked privilege, a table not yet migrated: the orders wait."""
    await _raise_on(flows, "INSERT", "payments", sqlstate)
    batch = [inbound_record(order("o-1"), 1), inbound_record(order("o-2"), 2)]
    for _ in range(2 * BATCH_TRIES):
        with pytest.raises(TRANSIENT_ERRORS):
            await flows.intake.accept(batch)
    assert await flows.pool.fetchval("SELECT count(*) FROM quarantine") == 0
    await flows.pool.execute("DROP TRIGGER trip ON payments")
    await flows.intake.accept(batch)
    assert await flows.pool.fetchval("SELECT count(*) FROM payments") == 2


async def test_responses_wait_for_the_database_and_are_not_discarded(flows: Flows, sandbox: SandboxProcess) -> None:
    """If parked without its facts, a payment would have an intent that the service does not record."""
    dispatcher = flows.dispatcher()
    await flows.accept("o-1", "o-2", "o-3")
    await _raise_on(flows, "INSERT", "outbox", "53100")
    await dispatcher.start()
    with pytest.raises(NeverHappenedError):
        await flows.run_calls(timeout_s=3)
    await flows.pool.execute("DROP TRIGGER trip ON outbox")
    await flows.run_calls()
    await dispatcher.stop(5)
    rows = await flows.pool.fetch("SELECT o.outcome, p.status FROM operations o JOIN payments p ON p.id = o.payment_id")
    assert {tuple(row) for row in rows} == {("done", "pending")}


async def test_a_response_the_database_rejects_parks_its_operation(flows: Flows, sandbox: SandboxProcess) -> None:
    dispatcher = flows.dispatcher()
    await flows.accept("o-1")
    await _raise_on(flows, "INSERT", "outbox", "23514")
    await dispatcher.start()
    await flows.run_calls(timeout_s=5)
    await dispatcher.stop(5)
    assert (await flows.operation("o-1"))["outcome"] == "unrecordable"


async def test_a_result_that_is_not_recorded_publishes_nothing(flows: Flows, sandbox: SandboxProcess) -> None:
    """The outcome, the payment and its events are one transaction, so no consumer sees what is then rolled back."""
    await flows.accept("o-1")
    dispatcher = flows.dispatcher()
    await operations.ensure_budget(flows.pool, "stripe")
    await workers.register(flows.pool, dispatcher.worker)
    await flows.pool.execute("UPDATE provider_budget SET tokens = 10")
    assert await dispatcher.claim_once() == 1
    await asyncio.wait(dispatcher._calls)
    await _raise_on(flows, "UPDATE", "operations", "53100")
    with pytest.raises(TRANSIENT_ERRORS):
        await dispatcher.record_once()
    assert await flows.pool.fetchval("SELECT count(*) FROM outbox") == 0
    await flows.pool.execute("DROP TRIGGER trip ON operations")
    assert await dispatcher.record_once() == 1
    assert await flows.pool.fetchval("SELECT type FROM outbox") == "payments.initiated"


def test_errors_of_a_record_are_not_treated_as_server_errors() -> None:
    for fault in (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError):
        assert not issubclass(fault, TRANSIENT_ERRORS)
