"""Test intake on a real database: batches of good and bad order records, once and repeated."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from payment_service.contracts.incoming import InboundRecord
from tests.support.flows import Flows, inbound_record, name_of, open_flows, order

COUNTS = "SELECT (SELECT count(*) FROM payments), (SELECT count(*) FROM operations), (SELECT count(*) FROM quarantine), (SELECT count(*) FROM outbox)"


async def counts(flows: Flows) -> tuple[int, ...]:
    row = await flows.pool.fetchrow(COUNTS)
    assert row is not None
    return tuple(row)


def mixed(size: int) -> list[InboundRecord]:
    """Every seventh record is bad."""
    return [inbound_record(b"\xff not json" if i % 7 == 0 else order(f"o-{i}"), i) for i in range(size)]


async def test_redelivered_records_create_nothing(flows: Flows) -> None:
    batch = mixed(700)
    await flows.intake.accept(batch)
    before = await counts(flows)
    assert before == (600, 600, 100, 100)
    for _ in range(5):
        await flows.intake.accept(batch)
    assert await counts(flows) == before


async def test_two_processes_with_the_same_batch_accept_it_once(flows: Flows, database_dsn: str) -> None:
    async with open_flows(database_dsn, "http://127.0.0.1:9") as other:
        batch = mixed(300)
        for _ in range(5):
            await asyncio.gather(flows.intake.accept(batch), other.intake.accept(list(reversed(batch))))
    assert await counts(flows) == (257, 257, 43, 43)


async def test_a_changed_order_is_quarantined_and_the_first_is_kept(flows: Flows) -> None:
    await flows.intake.accept(
        [
            inbound_record(order("o-1"), 0),
            inbound_record(order("o-1", "20.00"), 1),
            inbound_record(order("o-1", currency="usd"), 2),
        ]
    )
    await flows.intake.accept([inbound_record(order("o-1", "19.91"), 3), inbound_record(order("o-1", "19.9"), 4)])
    reasons = await flows.pool.fetch("SELECT record_offset, reason FROM quarantine ORDER BY record_offset")
    assert [tuple(row) for row in reasons] == [(1, "order_changed"), (2, "order_changed"), (3, "order_changed")]
    assert (await flows.payment("o-1"))["amount"] == 1990


async def test_an_old_order_is_quarantined_unless_it_has_a_payment(flows: Flows) -> None:
    await flows.intake.accept([inbound_record(order("known"), 0)])
    await flows.intake.accept(
        [
            inbound_record(order("known"), 1, age=timedelta(days=8)),
            inbound_record(order("new"), 2, age=timedelta(days=8)),
        ]
    )
    rows = await flows.pool.fetch("SELECT record_offset, reason FROM quarantine")
    assert [tuple(row) for row in rows] == [(2, "too_old")]


@pytest.mark.invariant("I2")
async def test_bad_record_at_the_offset_of_another_is_quarantined_too(flows: Flows) -> None:
    """A topic was deleted and created again, so its offsets repeat. A redelivery of the same record is no new row."""
    first, second = inbound_record(b"{", 0), inbound_record(b"[]", 0)
    for record in (first, first, second, second):
        await flows.intake.accept([record])
    rows = await flows.pool.fetch("SELECT record_offset, reason FROM quarantine ORDER BY reason")
    assert [tuple(row) for row in rows] == [(0, "not_an_object"), (0, "not_json")]
    assert await flows.pool.fetchval("SELECT count(*) FROM outbox WHERE type = 'orders.created.dlq'") == 2


async def test_a_free_order_succeeds_at_once_without_a_call(flows: Flows) -> None:
    await flows.intake.accept([inbound_record(order("gift", "0.00"), 0)])
    payment = await flows.payment("gift")
    assert (payment["status"], payment["provider"], payment["provider_payment_id"]) == ("succeeded", "none", None)
    rows = await flows.pool.fetch("SELECT type, sequence FROM outbox ORDER BY position")
    assert [tuple(row) for row in rows] == [("payments.initiated", 1), ("payments.succeeded", 2)]
    assert await flows.pool.fetchval("SELECT count(*) FROM operations") == 0


async def test_a_batch_with_one_order_twice_keeps_the_first_acceptable_one(flows: Flows) -> None:
    """Cases: free after priced, priced after free, and one after another that is too old."""
    old = inbound_record(order("late", "5.00"), 4, age=timedelta(days=8))
    await flows.intake.accept([
        inbound_record(order("priced"), 0),
        inbound_record(order("priced", "0"), 1),
        inbound_record(order("gift", "0"), 2),
        inbound_record(order("gift"), 3),
        old,
        inbound_record(order("late"), 5),
    ])  # fmt: skip
    rows = await flows.pool.fetch("SELECT order_id, amount, status FROM payments ORDER BY order_id")
    assert [tuple(row) for row in rows] == [
        ("gift", 0, "succeeded"),
        ("late", 1990, "created"),
        ("priced", 1990, "created"),
    ]
    changed = await flows.pool.fetch("SELECT record_offset FROM quarantine WHERE reason = 'order_changed' ORDER BY 1")
    assert [row["record_offset"] for row in changed] == [1, 3, 4]


async def test_an_amount_the_provider_cannot_represent_is_quarantined(flows: Flows) -> None:
    await flows.intake.accept(
        [inbound_record(order("o-1", "1.234", "kwd"), 0), inbound_record(order("o-2", "1.230", "kwd"), 1)]
    )
    assert await flows.pool.fetchval("SELECT reason FROM quarantine") == "amount_not_chargeable"
    assert (await flows.payment("o-2"))["amount"] == 1230


async def test_a_dead_letter_has_the_original_record_and_its_position(flows: Flows) -> None:
    await flows.intake.accept([inbound_record(b'{"order_id": 7}', 42, partition=3)])
    row = await flows.pool.fetchrow("SELECT type, payload, headers FROM outbox")
    assert row is not None
    assert (row["type"], row["payload"]) == ("orders.created.dlq", b'{"order_id": 7}')
    assert '["dlq_partition", "3"]' in row["headers"]
    assert '["dlq_offset", "42"]' in row["headers"]


@pytest.mark.invariant("I10")
async def test_a_record_the_database_rejects_is_quarantined_and_blocks_no_other(flows: Flows) -> None:
    """A trigger simulates any rejection by the database."""
    await flows.pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.order_id = 'cursed' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$"
    )
    await flows.pool.execute("CREATE TRIGGER refuse BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION refuse()")
    await flows.intake.accept([inbound_record(order(name), i) for i, name in enumerate(["a", "cursed", "b"])])
    assert await flows.pool.fetchval("SELECT array_agg(order_id ORDER BY order_id) FROM payments") == ["a", "b"]
    assert await flows.pool.fetchval("SELECT reason FROM quarantine") == "not_storable"


@pytest.mark.invariant("I2")
async def test_a_lost_database_connection_leaves_no_partial_batch(flows: Flows) -> None:
    async def cut(*_: object) -> None:
        raise asyncpg.ConnectionDoesNotExistError

    batch = mixed(50)
    original = flows.intake._complete_immediately
    flows.intake._complete_immediately = cut  # type: ignore[method-assign, assignment]
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await flows.intake.accept(batch)
    assert await counts(flows) == (0, 0, 0, 0)
    flows.intake._complete_immediately = original  # type: ignore[method-assign]
    await flows.intake.accept(batch)
    assert (await counts(flows))[0] == 42


async def test_the_stored_request_is_exactly_this(flows: Flows) -> None:
    await flows.accept("o-1")
    row = await flows.operation("o-1")
    assert (row["request_method"], row["request_path"], row["api_version"]) == (
        "POST",
        "/v1/payment_intents",
        "2026-08-26.dahlia",
    )
    assert row["request_body"] == (
        "amount=1990&currency=eur&payment_method_types%5B0%5D=card&metadata%5Bdeployment%5D=default"
        f"&metadata%5Border_id%5D=o-1&metadata%5Bpayment_id%5D={name_of('o-1')}"
    )


@pytest.mark.parametrize("ahead", [timedelta(days=400), timedelta(days=40_000)])
async def test_an_order_from_the_future_is_looked_for_first(flows: Flows, ahead: timedelta) -> None:
    """Its age is unknown, and a restored backup may have lost its intent."""
    records = [
        inbound_record(order("future"), 1, age=-ahead),
        inbound_record(order("recent"), 2),
        inbound_record(order("minutes-ahead"), 3, age=timedelta(minutes=-50)),
    ]
    await flows.intake.accept(records)
    assert (await flows.operation("future"))["epoch"] == 0
    assert (await flows.operation("recent"))["epoch"] == 1
    assert (await flows.operation("minutes-ahead"))["epoch"] == 1
