"""Test that the audit is tamper-evident: whatever is changed, deleted, inserted or reordered is found."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from payment_service.db import audit, audit_chain
from payment_service.db.audit import Actor
from payment_service.db.pool import open_pool
from payment_service.domain.audit_chain import Fault, Head, Tampering
from payment_service.flows.comparisons.audit import AuditComparison
from payment_service.flows.timers.audit_seals import AuditSeals
from tests.support.flows import Flows, config_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payment_service.db.pool import Connection, Pool

ENTRIES: Final = 5
# Edits by the owner of the tables, and their findings. Position and id of an entry are the same here.
EDITS: Final = {
    "UPDATE audit SET client = 'x' WHERE id = 3": [("changed", 3)],
    "UPDATE audit SET address = '192.0.2.9' WHERE id = 3": [("changed", 3)],
    "UPDATE audit SET action = 'cancel' WHERE id = 1": [("changed", 1)],
    "UPDATE audit SET at = at + interval '1 microsecond' WHERE id = 5": [("changed", 5)],
    "UPDATE audit SET key_id = gen_random_uuid() WHERE id = 3": [("changed", 3)],
    "UPDATE audit SET payment_id = gen_random_uuid() WHERE id = 3": [("changed", 3)],
    """UPDATE audit SET detail = jsonb_set(detail, '{amount}', '"9.00"') WHERE id = 3""": [("changed", 3)],
    "UPDATE audit SET detail = detail || '{\"note\": \"\"}' WHERE id = 3": [("changed", 3)],
    "UPDATE audit_chain SET hash = sha256(hash) WHERE position = 3": [("changed", 3), ("changed", 4)],
    "DELETE FROM audit WHERE id = 3": [("deleted", 3)],
    "DELETE FROM audit WHERE id = 5": [("deleted", 5)],
    "DELETE FROM audit_chain WHERE position = 3": [("link_missing", 3), ("inserted", None)],
    "DELETE FROM audit_chain WHERE position = 1": [("link_missing", 1), ("inserted", None)],
    "WITH d AS (DELETE FROM audit WHERE id IN (2, 3)) DELETE FROM audit_chain WHERE audit_id IN (2, 3)": [("link_missing", 2)],
    "INSERT INTO audit (client, action) VALUES ('x', 'refund')": [("inserted", None)],
    "UPDATE audit a SET client = b.client, detail = b.detail, at = b.at FROM audit b WHERE a.id + b.id = 5 AND a.id IN (2, 3)": [
        ("changed", 2), ("changed", 3)],
    "UPDATE audit_chain SET audit_id = 5 - audit_id WHERE audit_id IN (2, 3)": [("changed", 2), ("changed", 3)],
}  # fmt: skip


async def append(connection: Connection, amount: int) -> None:
    """Append an entry."""
    detail = {"amount": f"{amount}.00"}
    await audit.append(connection, Actor(client=f"shop-{amount}"), "refund", payment_id=None, detail=detail)


async def fill(flows: Flows) -> Head:
    """Append entries, seal them, and return the head."""
    async with flows.pool.acquire() as connection:
        for number in range(1, ENTRIES + 1):
            await append(connection, number)
    sealed, head = await audit_chain.seal(flows.pool)
    assert (sealed, head.position) == (ENTRIES, ENTRIES)
    return head


async def faults(pool: Pool, heads: Iterable[Head] = ()) -> list[Fault]:
    """Return what the comparison finds."""
    return [fault async for fault in AuditComparison(pool, heads).faults()]


async def test_an_untouched_audit_has_no_faults(flows: Flows) -> None:
    head = await fill(flows)
    assert await faults(flows.pool, [head]) == []
    assert await audit_chain.head(flows.pool) == head
    assert await audit_chain.seal(flows.pool) == (0, head)


@pytest.mark.parametrize("statement", EDITS)
async def test_every_edit_deletion_insertion_and_reordering_is_found(flows: Flows, statement: str) -> None:
    head = await fill(flows)
    await flows.pool.execute("ALTER TABLE audit_chain DROP CONSTRAINT audit_chain_one_link_per_entry")
    await flows.pool.execute(statement)
    assert [(fault.code.value, fault.position) for fault in await faults(flows.pool, [head])] == EDITS[statement]


async def test_a_deleted_end_is_found_by_a_published_head(flows: Flows) -> None:
    """The rest of the chain is intact, so nothing in the database shows it."""
    head = await fill(flows)
    await flows.pool.execute("DELETE FROM audit WHERE id > 3")
    await flows.pool.execute("DELETE FROM audit_chain WHERE audit_id > 3")
    assert await faults(flows.pool) == []
    [fault] = await faults(flows.pool, [head])
    assert (fault.code, fault.position) == (Tampering.HEAD_MISSING, ENTRIES)


async def test_a_chain_that_was_written_again_is_found_by_a_published_head(flows: Flows) -> None:
    """Its owner can recompute every hash, but cannot change the log."""
    head = await fill(flows)
    await flows.pool.execute("UPDATE audit SET client = 'somebody else' WHERE id = 2")
    await flows.pool.execute("DELETE FROM audit_chain")
    await flows.pool.execute("INSERT INTO audit_unsealed SELECT id FROM audit")
    await audit_chain.seal(flows.pool)
    assert await faults(flows.pool) == []
    [fault] = await faults(flows.pool, [head])
    assert (fault.code, fault.position) == (Tampering.HEAD_DIFFERS, ENTRIES)


async def test_an_entry_inserted_with_an_old_time_is_found_although_it_is_sealed(flows: Flows) -> None:
    await fill(flows)
    backdated = "INSERT INTO audit (at, client, action) VALUES (now() - interval '2 days', 'x', 'refund') RETURNING id"
    await flows.pool.execute("INSERT INTO audit_unsealed VALUES ($1)", await flows.pool.fetchval(backdated))
    await audit_chain.seal(flows.pool)
    [fault] = await faults(flows.pool)
    assert (fault.code, fault.position) == (Tampering.BACKDATED, ENTRIES + 1)


async def test_an_entry_deleted_before_its_seal_is_found(flows: Flows) -> None:
    async with flows.pool.acquire() as connection:
        await append(connection, 1)
    await flows.pool.execute("DELETE FROM audit")
    await audit_chain.seal(flows.pool)
    [fault] = await faults(flows.pool)
    assert (fault.code, fault.audit_id) == (Tampering.DELETED, 1)


async def test_a_seal_waits_for_no_transaction_and_misses_none(flows: Flows) -> None:
    """An entry with a lower id may become visible after one with a higher id was sealed."""
    async with flows.pool.acquire() as slow, flows.pool.acquire() as fast:
        transaction = slow.transaction()
        await transaction.start()
        await append(slow, 1)
        await append(fast, 2)
        assert (await audit_chain.seal(flows.pool))[0] == 1
        await transaction.commit()
    assert (await audit_chain.seal(flows.pool))[0] == 1
    assert await faults(flows.pool) == []
    rows = await flows.pool.fetch("SELECT audit_id FROM audit_chain ORDER BY position")
    assert [row["audit_id"] for row in rows] == [2, 1]


async def test_replicas_that_seal_at_the_same_time_make_one_chain(flows: Flows, database_dsn: str) -> None:
    config = config_for(database_dsn, "http://127.0.0.1:9")
    other = await open_pool(config)
    entries = 40
    try:

        async def work(amount: int) -> None:
            async with flows.pool.acquire() as connection:
                await append(connection, amount)
            await asyncio.gather(audit_chain.seal(flows.pool), audit_chain.seal(other))

        await asyncio.gather(*(work(amount) for amount in range(entries)))
    finally:
        other.terminate()
    await audit_chain.seal(flows.pool)
    assert (await audit_chain.head(flows.pool)).position == entries
    assert await faults(flows.pool) == []


async def test_the_head_is_published_again_each_hour(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the logs of any hour contain it."""
    published: list[int] = []
    monkeypatch.setattr(
        "payment_service.flows.timers.audit_seals.log.info",
        lambda _event, **fields: published.append(fields["position"]),
    )
    seals = AuditSeals(flows.pool)
    await seals.seal_once()
    assert published == []
    await fill(flows)
    await seals.seal_once()
    await seals.seal_once()
    assert published == [ENTRIES]
    seals._published_s -= 3_600
    await seals.seal_once()
    assert published == [ENTRIES, ENTRIES]
