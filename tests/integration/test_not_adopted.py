"""What `migrate --adopt` could not take over bars its order from any other payment, and no other order."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from payment_service.db import payments
from tests.support.flows import Flows, inbound_record, open_flows, order


@pytest.fixture
async def flows(database_dsn: str) -> AsyncIterator[Flows]:
    async with open_flows(database_dsn, "http://127.0.0.1:9") as opened:
        yield opened


async def report(flows: Flows, order_id: str, reason: str) -> None:
    await flows.pool.execute(
        "INSERT INTO model_adoption_report (payment_id, order_id, reason) VALUES (gen_random_uuid(), $1, $2)",
        order_id,
        reason,
    )


@pytest.mark.parametrize("total", ["19.90", "0"])
async def test_an_order_of_the_report_is_quarantined_and_the_others_of_its_batch_are_taken(
    flows: Flows, total: str
) -> None:
    """However often it stands in the batch, and though it is to cost nothing now."""
    await report(flows, "o-2", "amount_missing")
    batch = [inbound_record(order(name, total), i) for i, name in enumerate(["o-1", "o-2", "o-3", "o-2"])]
    await flows.intake.accept(batch)
    await flows.intake.accept(batch)
    kept = await flows.pool.fetch("SELECT record_offset, reason FROM quarantine ORDER BY 1")
    assert [tuple(row) for row in kept] == [(1, "not_adopted"), (3, "not_adopted")]
    taken = await flows.pool.fetch("SELECT order_id FROM payments ORDER BY 1")
    assert [row["order_id"] for row in taken] == ["o-1", "o-3"]


async def test_an_order_that_has_a_payment_is_known_whatever_stands_in_the_report(flows: Flows) -> None:
    await flows.intake.accept([inbound_record(order("o-1"), 0)])
    await report(flows, "o-1", "open_beside_another_payment")
    await flows.intake.accept([inbound_record(order("o-1"), 1), inbound_record(order("o-1", "20.00"), 2)])
    kept = await flows.pool.fetch("SELECT record_offset, reason FROM quarantine")
    assert [tuple(row) for row in kept] == [(2, "order_changed")]


async def test_a_name_that_no_order_can_have_bars_nobody(flows: Flows) -> None:
    """It may be of any length, too."""
    await report(flows, "o-1", "order_id_missing")
    await report(flows, "x" * 100_000, "order_id_missing")
    await flows.intake.accept([inbound_record(order("o-1"), 0)])
    assert await flows.pool.fetchval("SELECT count(*) FROM payments") == 1


@pytest.mark.parametrize(
    ("reason", "waits"),
    [("amount_missing", True), ("order_has_a_payment_already", True), ("open_beside_another_payment", False)],
)
async def test_a_next_payment_waits_for_a_person_unless_the_other_is_canceled_by_itself(
    flows: Flows, reason: str, waits: bool
) -> None:
    await report(flows, "o-1", reason)
    async with flows.pool.acquire() as connection:
        assert await payments.waits_for_adoption(connection, "o-1") is waits
