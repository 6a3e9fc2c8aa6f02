"""Test that slow reads of the API use only their own connections and end with 503."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from payment_service.db import api_keys
from payment_service.db.api_keys import Scope
from payment_service.db.pool import READ_CONNECTIONS, open_read_pool
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.http.app import build_app
from tests.support.deliveries import NO_DATABASE, Inbox, event, intent, post, ready, receivers_of
from tests.support.eventually import eventually_async
from tests.support.flows import Flows, open_flows
from tests.support.http import Answer, ask, served

SLOW_READS = """
CREATE OR REPLACE FUNCTION in_major_units(minor bigint, currency text) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN PERFORM pg_sleep(60); RETURN minor; END $$
"""
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
READS = 16


@pytest.fixture
async def flows(database_dsn: str) -> AsyncIterator[Flows]:
    """Open the flows on fewer connections than the reads want, with one payment whose reads take a minute."""
    async with open_flows(database_dsn, "http://127.0.0.1:9", db_pool_size=2) as opened:
        await opened.accept("o-1")
        await opened.pool.execute(SLOW_READS)
        yield opened


@asynccontextmanager
async def served_with_reads(flows: Flows) -> AsyncIterator[tuple[int, list[asyncio.Task[Answer]]]]:
    """Serve the app, and send slow reads until all connections for reads are in use. Yield the port and the reads."""
    key = await api_keys.create(flows.pool, client="shop", scopes=[Scope.READ])
    webhooks = Webhooks(flows.context())
    webhooks.start()
    reads = await open_read_pool(flows.config)
    app = build_app(
        config=flows.config,
        context=replace(NO_DATABASE, pool=flows.pool),
        reads=reads,
        store_event=webhooks.take,
        receivers=receivers_of(flows.config),
        quarantine=Inbox().quarantine,
        readiness=ready,
    )

    async def all_connections_in_use() -> bool:
        return bool(await flows.pool.fetchval(SLEEPING) == READ_CONNECTIONS)

    try:
        async with served(app) as port:
            header = {"authorization": f"Bearer {key}"}
            waiting = [asyncio.create_task(ask(port, "GET", "/v1/payments", header)) for _ in range(READS)]
            await eventually_async(all_connections_in_use)
            yield port, waiting
            for read in waiting:
                read.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            reads.terminate()
    finally:
        reads.terminate()
        await webhooks.stop()


async def test_slow_reads_do_not_delay_a_webhook(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen reads hold or want a connection; the webhook is stored and applied before any of them ends."""
    monkeypatch.setattr("payment_service.db.pool.READ_STATEMENT_TIMEOUT_MS", 60_000)
    monkeypatch.setattr("payment_service.db.pool.READ_WAIT_S", 60)
    async with served_with_reads(flows) as (port, waiting):
        assert (await post(port, event("payment_intent.succeeded", intent("o-1")))).status == 200
        assert (await flows.payment("o-1"))["status"] == "succeeded"
        assert [read for read in waiting if read.done()] == []


async def test_a_slow_read_answers_503_and_when_to_retry(flows: Flows) -> None:
    """This holds for a read that takes too long, and for one that waits too long for a connection."""
    async with served_with_reads(flows) as (_, waiting):
        answers = await asyncio.gather(*waiting)
    assert {(answer.status, answer.headers.get("retry-after")) for answer in answers} == {(503, "1")}
