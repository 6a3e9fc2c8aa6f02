"""A harness whose events arrive by HTTP, in the API version of the sandbox's webhook endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from payment_service.flows.webhooks.apply import Webhooks
from payment_service.http.app import build_app
from tests.support.deliveries import Inbox, ready, receivers_of
from tests.support.eventually import eventually_async
from tests.support.harness import Harness, open_harness
from tests.support.http import served
from tests.support.sandbox import SandboxProcess


class Wire:
    """A harness whose events arrive by HTTP, in the API version of the endpoint."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness

    async def settle(self) -> None:
        """Wait until every delivery has arrived, every call is made and every event is applied."""
        await eventually_async(self._idle, timeout_s=30)

    async def _idle(self) -> bool:
        sandbox, pool = self.harness.sandbox, self.harness.flows.pool
        if sandbox.control("GET", "/sandbox/deliveries?state=pending&limit=1")["data"]:
            return False
        waiting = await pool.fetchval(
            "SELECT (SELECT count(*) FROM payment_events WHERE NOT processed AND retry_at IS NOT NULL)"
            " + (SELECT count(*) FROM operations WHERE state IN ('due', 'claimed'))"
        )
        return int(waiting) == 0

    async def authorize(self) -> UUID:
        await self.harness.flows.accept("o-1", capture_method="manual")
        await self.settle()
        self._client.v1.payment_intents.confirm(await self.intent(), {"payment_method": "pm_card_visa"})
        await self.settle()
        [payment] = await self.harness.flows.pool.fetch("SELECT id FROM payments")
        return UUID(str(payment["id"]))

    async def capture(self, payment: UUID, amount: str) -> None:
        assert (await self.harness.post(f"/v1/payments/{payment}/capture", {"amount": amount})).status == 201
        await self.settle()

    async def intent(self) -> str:
        return str(await self.harness.flows.pool.fetchval("SELECT provider_payment_id FROM payments"))

    async def parked(self) -> list[tuple[str, str]]:
        rows = await self.harness.flows.pool.fetch(
            "SELECT event_type AS what, parked_reason AS why FROM payment_events WHERE parked_reason IS NOT NULL"
            " UNION ALL SELECT kind, outcome FROM operations WHERE state = 'parked'"
        )
        return [(row["what"], row["why"]) for row in rows]

    async def topics(self, payment: UUID) -> list[str]:
        return [topic for topic, _ in await self.harness.published(payment)]

    @property
    def _client(self) -> Any:
        return self.harness.sandbox.client()

    @property
    def client(self) -> Any:
        """The provider's API, as its Dashboard uses it."""
        return self._client


@asynccontextmanager
async def open_wire(dsn: str, sandbox: SandboxProcess, version: str) -> AsyncIterator[Wire]:
    """Serve the webhook endpoint, and register it with an API version."""
    async with open_harness(dsn, sandbox) as harness:
        inbox, webhooks = Inbox(), Webhooks(harness.context())
        secret = SecretStr("whsec_none")
        config = harness.flows.config.model_copy(update={"stripe_webhook_secret": (secret,)})
        receivers = receivers_of(config)
        webhooks.start()
        try:
            app = build_app(
                config=config,
                # The sandbox signs by the real clock, even if the test has moved its own.
                context=harness.flows.context(now=lambda: datetime.now(UTC)),
                reads=harness.flows.pool,
                receivers=receivers,
                store_event=webhooks.take,
                quarantine=inbox.quarantine,
                readiness=ready,
            )
            async with served(app) as port:
                client: Any = sandbox.client()
                made = client.v1.webhook_endpoints.create(
                    {
                        "url": f"http://127.0.0.1:{port}/webhooks/stripe",
                        "enabled_events": ["*"],
                        "api_version": version,
                    }
                )
                object.__setattr__(receivers["stripe"], "secrets", [made.secret])
                yield Wire(harness)
                client.v1.webhook_endpoints.delete(made.id)
        finally:
            await webhooks.stop()
