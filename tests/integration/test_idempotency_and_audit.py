"""Test the promises to callers: stored responses per key, refunds once forever, and an audit entry for every change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import asyncpg
import psycopg
import pytest
from psycopg import sql

from payment_service.db import api_keys, audit
from payment_service.db.api_keys import Scope
from payment_service.db.audit import Actor
from payment_service.db.maintain import maintain
from payment_service.telemetry import metrics
from tests.support.eventually import eventually_async
from tests.support.harness import Harness

PROMISED_H = 24


async def age(harness: Harness, hours: float) -> None:
    """Make stored responses this old, then run `maintain`."""
    await harness.flows.pool.execute("UPDATE idempotency_keys SET created_at = created_at - $1 * interval '1 h'", hours)
    await asyncio.to_thread(maintain, harness.dsn)


def refunded(harness: Harness) -> int:
    """Return the refunds at the provider."""
    return sum(entry["amount"] for entry in harness.sandbox.ledger() if entry["effect"] == "refund.created")


async def test_a_stored_response_is_repeated_for_a_day_despite_later_changes(harness: Harness) -> None:
    """Byte for byte: the refund has succeeded meanwhile, but the stored response says that it is pending."""
    payment = await harness.pay("o-1")
    first = await harness.refund(payment, "5.00", "job-1")
    await harness.run_until_idle()
    await age(harness, PROMISED_H)
    again = await harness.refund(payment, "5.00", "job-1")
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_repeated_refund_request_is_published_once(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    published = metrics.OUTBOX_RECORDS.labels("payments.refund_initiated")._value
    before = published.get()
    for _ in range(2):
        await harness.refund(payment, "5.00", "job-1")
    assert published.get() - before == 1


async def test_a_key_refunds_once_after_its_stored_response_expired(harness: Harness) -> None:
    """This holds for any API key of the client. The response shows the refund's current state."""
    payment = await harness.pay("o-1")
    first = await harness.refund(payment, "5.00", "job-1")
    await harness.run_until_idle()
    await age(harness, 24 * 31)
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    await api_keys.revoke(harness.flows.pool, client="shop")
    harness.key = await api_keys.create(harness.flows.pool, client="shop", scopes=[Scope.REFUND])
    again = await harness.refund(payment, "5.00", "job-1")
    assert (again.status, again.json["id"], again.json["status"]) == (201, first.json["id"], "succeeded")
    assert "idempotent-replayed" not in again.headers
    other = await harness.refund(payment, "6.00", "job-1")
    assert (other.status, other.json["type"]) == (422, "urn:payment-service:idempotency_mismatch")
    await harness.run_until_idle()
    assert refunded(harness) == 500


async def test_a_key_in_use_gets_409_with_retry_after(harness: Harness) -> None:
    """The response is immediate. Another client's identical key is a different key."""
    payment = await harness.pay("o-1")
    async with harness.flows.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM payments WHERE id = $1 FOR NO KEY UPDATE", payment)
        running = asyncio.create_task(harness.refund(payment, "5.00", "job-1"))

        async def works() -> bool:
            return bool(await harness.flows.pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))

        await eventually_async(works)
        meanwhile = await harness.refund(payment, "5.00", "job-1")
    assert (meanwhile.status, meanwhile.json["type"]) == (409, "urn:payment-service:in_progress")
    assert int(meanwhile.headers["retry-after"]) >= 1
    assert (await running).status == 201
    assert (await harness.refund(payment, "5.00", "job-1")).headers["idempotent-replayed"] == "true"


async def test_a_refusal_is_neither_stored_nor_audited(harness: Harness) -> None:
    """The same request may be possible later."""
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    payment = (await harness.flows.payment("o-1"))["id"]
    assert (await harness.refund(payment, "5.00", "job-1")).status == 409
    assert (
        await harness.flows.pool.fetchval(
            "SELECT (SELECT count(*) FROM audit) + (SELECT count(*) FROM idempotency_keys)"
        )
        == 0
    )
    assert await harness.pay("o-1") == payment
    assert (await harness.refund(payment, "5.00", "job-1")).status == 201


@contextmanager
def role(dsn: str, *grants: str) -> Iterator[str]:
    """Create a role with these privileges, and drop it afterwards."""
    name = f"suite_{uuid4().hex[:12]}"
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        for grant in grants:
            owner.execute(sql.SQL(f"GRANT {grant} TO {{}}").format(sql.Identifier(name)))
        try:
            yield name
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(name)))
            owner.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(name)))


async def test_a_role_with_insert_and_select_can_add_audit_entries_but_not_alter_them(database_dsn: str) -> None:
    """The service's role needs no more, so an intruder cannot remove audit entries."""
    with role(database_dsn, "INSERT, SELECT ON audit, audit_unsealed") as name:
        connection = await asyncpg.connect(database_dsn)
        await connection.execute(f'SET ROLE "{name}"')
        await audit.append(connection, Actor(client="shop"), "refund", payment_id=None, detail={"amount": "5.00"})
        for statement in ("UPDATE audit SET client = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        assert await connection.fetchval("SELECT client FROM audit") == "shop"
        await connection.close()
