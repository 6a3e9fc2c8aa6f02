"""A server in trouble is waited for; only what a record itself does wrong is held against it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from payment_service.db.pool import TRANSIENT_ERRORS
from tests.support.eventually import NeverHappenedError
from tests.support.flows import Flows, inbound_record, open_flows, order
from tests.support.sandbox import SandboxProcess


@pytest.fixture
async def flows(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Flows]:
    async with open_flows(database_dsn, sandbox.base_url) as opened:
        yield opened


TROUBLES = ["53100", "53200", "42501", "42P01", "57P01", "58030", "25006", "55P03"]


async def _trip(flows: Flows, table: str, sqlstate: str) -> None:
    await flows.pool.execute(
        f"CREATE FUNCTION trip() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'in trouble' USING ERRCODE = '{sqlstate}'; END $$"
    )
    await flows.pool.execute(f"CREATE TRIGGER trip BEFORE INSERT ON {table} EXECUTE FUNCTION trip()")


@pytest.mark.parametrize("sqlstate", TROUBLES)
async def test_a_server_in_trouble_puts_no_good_order_into_quarantine(flows: Flows, sqlstate: str) -> None:
    """A full disk, a right that was revoked, a table that a migration has yet to make: the orders wait."""
    await _trip(flows, "payments", sqlstate)
    batch = [inbound_record(order("o-1"), 1), inbound_record(order("o-2"), 2)]
    with pytest.raises(TRANSIENT_ERRORS):
        await flows.intake.accept(batch)
    assert await flows.pool.fetchval("SELECT count(*) FROM quarantine") == 0
    await flows.pool.execute("DROP TRIGGER trip ON payments")
    await flows.intake.accept(batch)
    assert await flows.pool.fetchval("SELECT count(*) FROM payments") == 2


async def test_answers_wait_for_a_server_in_trouble_and_are_not_thrown_away(
    flows: Flows, sandbox: SandboxProcess
) -> None:
    """Parked without its facts, a payment would have an intent that nobody hears of."""
    dispatcher = flows.dispatcher()
    await flows.accept("o-1", "o-2", "o-3")
    await _trip(flows, "outbox", "53100")
    await dispatcher.start()
    with pytest.raises(NeverHappenedError):
        await flows.run_calls(timeout_s=3)
    await flows.pool.execute("DROP TRIGGER trip ON outbox")
    await flows.run_calls()
    await dispatcher.stop(5)
    rows = await flows.pool.fetch("SELECT o.outcome, p.status FROM operations o JOIN payments p ON p.id = o.payment_id")
    assert {tuple(row) for row in rows} == {("done", "pending")}


async def test_an_answer_that_can_not_be_settled_is_parked_even_when_it_is_alone(
    flows: Flows, sandbox: SandboxProcess
) -> None:
    dispatcher = flows.dispatcher()
    await flows.accept("o-1")
    await _trip(flows, "outbox", "23514")
    await dispatcher.start()
    await flows.run_calls(timeout_s=5)
    await dispatcher.stop(5)
    assert (await flows.operation("o-1"))["outcome"] == "unrecordable"


def test_what_a_record_does_wrong_is_not_taken_for_trouble_of_the_server() -> None:
    for fault in (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError):
        assert not issubclass(fault, TRANSIENT_ERRORS)
