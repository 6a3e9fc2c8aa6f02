"""The guards in WHERE and the unique indexes: a row changes only in the state that its writer expects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from payment_service.db import operations, payments, workers
from payment_service.db.operations import OperationUpdate
from payment_service.db.payments import SaveConflict
from payment_service.domain.payment import Payment, Status
from tests.support.flows import Flows, name_of


async def worker_of(flows: Flows, *, heartbeating: str = "6 s") -> UUID:
    """Register a worker whose heartbeats have had no gap for this long."""
    await operations.ensure_budget(flows.pool, "stripe")
    await flows.pool.execute("UPDATE provider_budget SET tokens = 10")
    worker = uuid4()
    await workers.register(flows.pool, worker)
    await flows.pool.execute(
        "UPDATE workers SET heartbeating_since = now() - $2::text::interval WHERE id = $1", worker, heartbeating
    )
    return worker


@pytest.mark.invariant("I1")
async def test_a_retry_does_not_renew_the_age_of_its_key(flows: Flows) -> None:
    """Stripe counts the 24 h of a key from its first use, so a key renewed by each attempt would outlive them."""
    await flows.accept("o-1")
    worker = await worker_of(flows)
    await flows.claim(worker)
    await flows.pool.execute(
        "UPDATE operations SET state = 'due', worker = NULL, due_at = now(), first_sent_at = first_sent_at - interval '1 h'"
    )
    first_sent_at = (await flows.operation("o-1"))["first_sent_at"]
    [again] = await flows.claim(worker)
    assert (again.attempt, again.first_sent_at) == (2, first_sent_at)


async def test_a_worker_whose_heartbeats_paused_takes_no_operation_of_others(flows: Flows) -> None:
    """After a pause of the database every heartbeat is old, and the first worker to return would take all claims."""
    await flows.accept("o-1")
    silent = await worker_of(flows)
    [owned] = await flows.claim(silent)
    await flows.pool.execute("UPDATE workers SET heartbeat_at = now() - interval '6 s' WHERE id = $1", silent)
    paused, steady = await worker_of(flows, heartbeating="1 s"), await worker_of(flows)
    assert await operations.release_orphaned(flows.pool, paused, of_unknown=True) == 0
    assert await operations.release_orphaned(flows.pool, steady, of_unknown=False) == 1
    [taken] = await flows.claim(steady)
    assert taken.id == owned.id


async def test_an_operation_of_a_worker_without_a_row_is_released(flows: Flows) -> None:
    await flows.accept("o-1")
    lost = await worker_of(flows)
    await flows.claim(lost)
    await flows.pool.execute("DELETE FROM workers WHERE id = $1", lost)
    assert await operations.release_orphaned(flows.pool, await worker_of(flows), of_unknown=True) == 1


async def test_a_result_is_recorded_only_while_its_operation_is_claimed(flows: Flows) -> None:
    """A released claim keeps its attempt number until the next claim."""
    await flows.accept("o-1")
    worker = await worker_of(flows)
    [owned] = await flows.claim(worker)
    assert await operations.release_unknown(flows.pool, worker, ()) == 1
    update = OperationUpdate(id=owned.id, attempt=owned.attempt, state="done", outcome="done")
    async with flows.pool.acquire() as connection:
        assert (await operations.record_results(connection, [update])).ids == set()
    assert (await flows.operation("o-1"))["state"] == "due"


async def saved(flows: Flows) -> Payment:
    """Give the payment its intent, and return it as stored."""
    async with flows.pool.acquire() as connection, connection.transaction():
        before = (await payments.lock_available(connection, [name_of("o-1")]))[name_of("o-1")]
        after = replace(before, status=Status.PENDING, sequence=1, provider_payment_id="pi_1")
        await payments.save(connection, [(before, after)])
    return after


@pytest.mark.parametrize(
    ("read", "written"),
    [
        pytest.param({"status": Status.CREATED}, {}, id="another status"),
        pytest.param({"sequence": 0}, {}, id="another sequence"),
        pytest.param({}, {"provider_payment_id": "pi_2"}, id="another intent"),
    ],
)
async def test_a_payment_that_changed_after_it_was_read_is_not_overwritten(
    flows: Flows, read: dict[str, Any], written: dict[str, Any]
) -> None:
    await flows.accept("o-1")
    stored = await saved(flows)
    async with flows.pool.acquire() as connection:
        with pytest.raises(SaveConflict):
            await payments.save(connection, [(replace(stored, **read), replace(stored, method="card", **written))])
        await payments.save(connection, [(stored, replace(stored, method="card"))])


@pytest.mark.invariant("I1")
@pytest.mark.parametrize(
    ("statement", "index"),
    [
        pytest.param(
            "UPDATE payments SET provider_payment_id = 'pi_1'",
            "payments_one_row_per_intent",
            id="two payments of one intent",
        ),
        pytest.param(
            "UPDATE payments SET order_id = 'o-1', attempt = CASE order_id WHEN 'o-1' THEN 1 ELSE 2 END",
            "payments_one_open_per_order",
            id="two open payments of one order",
        ),
    ],
)
async def test_the_database_refuses_a_second_payment_for_the_same_money(
    flows: Flows, statement: str, index: str
) -> None:
    await flows.accept("o-1", "o-2")
    with pytest.raises(asyncpg.UniqueViolationError, match=index):
        await flows.pool.execute(statement)
