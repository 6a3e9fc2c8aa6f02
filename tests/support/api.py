"""Serve the API on a real database, with a read-only key."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from payment_service.db import api_keys
from payment_service.db.pool import Pool, open_pool, open_read_pool
from payment_service.domain.ids import payment_id
from payment_service.flows.state.context import Context
from payment_service.http.app import build_app, build_operations_app
from payment_service.http.health import Readiness
from payment_service.provider.port import ProviderEvent
from payment_service.provider.providers import Providers
from payment_service.provider.stripe.adapter import Stripe
from tests.support.deliveries import receivers_of
from tests.support.flows import config_for
from tests.support.http import Answer, ask, served

INSERT_PAYMENT = """
INSERT INTO payments (id, order_id, attempt, user_id, provider, provider_payment_id, amount, currency, captured, refunded, status,
                      order_topic, order_partition, order_offset, created_at)
VALUES ($1, $2, $3::integer, 'user-1', 'stripe', $4, $5, $6, $7, $8, $9, 'orders.created', 0, 0, now() + $3::integer * interval '1 s')
"""
INSERT_EVENT = """
INSERT INTO payment_events (payment_id, event_type, provider, provider_event_id, payload, processed, result, verified_by,
                            verified_at, occurred_at)
VALUES ($1, 'payment_intent.processing', 'stripe', $2, '{"secret": "content"}', true, 'applied', 'secret-1', now(),
        now() + $3::integer * interval '1 s')
"""


class Api(SimpleNamespace):
    """The API under test, with a read-only key."""

    pool: Pool
    reads: Pool
    port: int
    operations_port: int
    key: str
    readiness: Readiness

    async def get(self, target: str, key: str | None = None, **headers: str) -> Answer:
        """Send a GET request with the read-only key or another one."""
        return await ask(self.port, "GET", target, {"authorization": f"Bearer {key or self.key}", **headers})

    async def insert(self, order_id: str = "o-1", attempt: int = 1, **changes: Any) -> UUID:
        """Insert a payment of 19.90 eur."""
        row = {"intent": None, "amount": 1990, "currency": "eur", "captured": 0, "refunded": 0, "status": "pending"}
        row |= changes
        name = payment_id("default", order_id, attempt)
        await self.pool.execute(INSERT_PAYMENT, name, order_id, attempt, *row.values())
        return name

    async def key_for(self, *scopes: str) -> str:
        """Create a key with this scope."""
        return await api_keys.create(self.pool, client="suite", scopes=scopes)


async def _take(_event: ProviderEvent, _verified_by: str) -> None:
    raise AssertionError("no webhook is sent here")


async def _quarantine(_provider: str, _body: bytes, _reason: str, _detail: str) -> None:
    raise AssertionError("no webhook is sent here")


@asynccontextmanager
async def open_api(database_dsn: str, **settings: object) -> AsyncIterator[Api]:
    """Serve both apps and create a key."""
    config = config_for(database_dsn, "http://127.0.0.1:9", **settings)
    pool = await open_pool(config)
    reads = await open_read_pool(config)
    opened = Api(
        pool=pool, reads=reads, readiness=Readiness(ready=True, checks={"broker": "not reached", "database": "ok"})
    )

    async def readiness() -> Readiness:
        return opened.readiness

    provider = Stripe(config, now_s=time.time)
    context = Context(
        pool=pool,
        providers=Providers({provider.name: provider}),
        deployment=config.deployment,
        now=lambda: datetime.now(UTC),
    )
    app = build_app(
        config=config,
        context=context,
        reads=reads,
        receivers=receivers_of(config),
        store_event=_take,
        quarantine=_quarantine,
        readiness=readiness,
    )
    operations = build_operations_app(readiness=readiness, openapi_of=app)
    try:
        async with served(app) as opened.port, served(operations) as opened.operations_port:
            opened.key = await opened.key_for("read")
            yield opened
    finally:
        await provider.close()
        pool.terminate()
        reads.terminate()


def assert_problem(answer: Answer, status: int) -> None:
    """Assert a problem with this status, one sentence, and no header that names the server."""
    assert (answer.status, answer.is_problem) == (status, True), answer
    assert answer.json["detail"].endswith(".")
    assert not {"server", "x-powered-by", "access-control-allow-origin"} & answer.headers.keys()
