"""Test that a record that makes a transaction fail is found and set aside, and that a database that fails is not blamed on records."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
import pytest

from payment_service.contracts.incoming import InboundRecord
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.domain.order import Reason, Rejected
from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.intake.records import BATCH_TRIES, Acceptance
from tests.support.flows import Flows, cancelled, inbound_record, order

# Errors that usually have nothing to do with a record: a statement timeout, a lock timeout, a backend that crashed.
TRANSIENT = ["57014", "55P03", "57P02"]


async def curse(flows: Flows, sqlstate: str, *, table: str = "payments", order_id: str = "cursed") -> None:
    """Make the database fail for one order."""
    await flows.pool.execute(
        "CREATE FUNCTION trip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NEW.order_id = '{order_id}' THEN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END IF; RETURN NEW; END $$"
    )
    await flows.pool.execute(f"CREATE TRIGGER trip BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION trip()")


async def take(intake: object, batch: Sequence[InboundRecord]) -> int:
    """Accept a batch as the consumer does: again while it fails. Return the number of failures."""
    for failures in range(2 * BATCH_TRIES):
        try:
            await intake.accept(batch)  # type: ignore[attr-defined]
        except TRANSIENT_ERRORS:
            continue
        return failures
    pytest.fail("the batch is never accepted")


@pytest.mark.invariant("I10")
@pytest.mark.parametrize("sqlstate", [*TRANSIENT, "23514"])
async def test_a_record_with_which_every_transaction_fails_is_set_aside_alone(flows: Flows, sqlstate: str) -> None:
    """Otherwise its batch comes again for ever, and orders behind it wait."""
    await curse(flows, sqlstate)
    names = [f"o-{i}" for i in range(40)]
    batch = [inbound_record(order(name), i) for i, name in enumerate([*names[:23], "cursed", *names[23:]])]
    await take(flows.intake, batch)
    assert {row["order_id"] for row in await flows.pool.fetch("SELECT order_id FROM payments")} == set(names)
    rows = await flows.pool.fetch("SELECT record_offset, reason FROM quarantine")
    assert [tuple(row) for row in rows] == [(23, "not_storable")]
    await flows.pool.execute("DROP TRIGGER trip ON payments")
    assert await take(flows.intake, [inbound_record(order("o-41"), 41)]) == 0


@pytest.mark.invariant("I10")
async def test_a_cancellation_with_which_every_transaction_fails_is_set_aside_alone(flows: Flows) -> None:
    await curse(flows, "57014", table="order_cancellations")
    intake = OrderCancellationIntake(flows.context())
    batch = [cancelled({"order_id": name}, i) for i, name in enumerate(["a", "cursed", "b"])]
    await take(intake, batch)
    assert await flows.pool.fetchval("SELECT array_agg(order_id ORDER BY order_id) FROM order_cancellations") == [
        "a",
        "b",
    ]
    assert await flows.pool.fetchval("SELECT record_offset FROM quarantine") == 1


@pytest.mark.parametrize("sqlstate", [*TRANSIENT, "23514"])
@pytest.mark.parametrize("table", ["payments", "operations"])
async def test_a_database_that_fails_for_every_order_sets_nothing_aside(
    flows: Flows, sqlstate: str, table: str
) -> None:
    """Orders wait, however often they fail, and are accepted afterwards."""
    await flows.pool.execute(
        "CREATE FUNCTION trip() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'in trouble' USING ERRCODE = '{sqlstate}'; END $$"
    )
    await flows.pool.execute(f"CREATE TRIGGER trip BEFORE INSERT ON {table} EXECUTE FUNCTION trip()")
    batch = [inbound_record(order("o-1"), 1), inbound_record(order("o-2"), 2)]
    for _ in range(3 * BATCH_TRIES):
        with pytest.raises(asyncpg.PostgresError):
            await flows.intake.accept(batch)
    assert await flows.pool.fetchval("SELECT count(*) FROM quarantine") == 0
    await flows.pool.execute(f"DROP TRIGGER trip ON {table}")
    await flows.intake.accept(batch)
    assert await flows.pool.fetchval("SELECT count(*) FROM payments") == 2


async def test_trials_leave_nothing_behind(flows: Flows) -> None:
    await curse(flows, "23514")
    await take(flows.intake, [inbound_record(order("cursed"), 1)])
    assert await flows.pool.fetchval("SELECT count(*) FROM payments") == 0
    assert await flows.pool.fetchval("SELECT count(*) FROM operations") == 0
    assert await flows.pool.fetchval("SELECT count(*) FROM outbox") == 1  # the dead letter


async def test_one_faulty_record_of_500_costs_about_twenty_transactions() -> None:
    """Halving: one by one, a statement that runs into its timeout would hold up 500 orders for minutes."""
    batch = [inbound_record(order(f"o-{i}"), i) for i in range(500)]
    calls: list[int] = []
    taken: list[int] = []

    async def accept(records: Sequence[InboundRecord]) -> None:
        calls.append(len(records))
        if any(r.offset == 321 and not _unstorable(r) for r in records):
            raise asyncpg.CheckViolationError("no")
        taken.extend(r.offset for r in records)

    async def works() -> None:
        return

    await Acceptance(accept, works).take(batch)
    assert taken == sorted(taken)
    assert len(taken) == 500
    assert len(calls) <= 25


def _unstorable(record: InboundRecord) -> bool:
    return isinstance(record.decoded, Rejected) and record.decoded.reason == Reason.NOT_STORABLE
