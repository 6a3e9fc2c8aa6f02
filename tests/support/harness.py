"""Run a payment service in the test's process: real database, real sandbox, and the API on a port.

The test decides when and in which order the provider's events are delivered.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg

from payment_service.db import api_keys
from payment_service.db.api_keys import Scope
from payment_service.flows.calls.dispatch import Dispatcher
from payment_service.flows.state.context import Context
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.http.app import build_app
from payment_service.provider.stripe.webhooks import translate
from tests.support.deliveries import Inbox, ready, receivers_of
from tests.support.eventually import eventually_async
from tests.support.flows import Flows, name_of, open_flows
from tests.support.http import Answer, ask, served
from tests.support.sandbox import SandboxProcess


class Harness(SimpleNamespace):
    """The harness of tests of whole requests, such as refunds and captures."""

    flows: Flows
    sandbox: SandboxProcess
    webhooks: Webhooks
    dispatcher: Dispatcher
    port: int
    key: str
    seen: set[str]
    dsn: str

    def context(self) -> Context:
        """Build the context of the flows, with this harness's dispatcher."""
        return self.flows.context(wake_dispatcher=self.dispatcher.wake)

    async def pay(self, order_id: str, method: str = "pm_card_visa", **more: Any) -> UUID:
        """Accept an order of 19.90 eur, pay it at the provider, and deliver the events."""
        await self.flows.accept(order_id)
        return await self.pay_accepted(order_id, method, **more)

    async def pay_accepted(self, order_id: str, method: str = "pm_card_visa", **more: Any) -> UUID:
        """Pay an order that was accepted at the provider, and deliver the events."""
        await self.flows.run_calls()
        intent_id = (await self.flows.payment(order_id))["provider_payment_id"]
        client: Any = self.sandbox.client()
        client.v1.payment_intents.confirm(intent_id, {"payment_method": method, **more})
        await self.deliver()
        return name_of(order_id)

    def events(self) -> list[dict[str, Any]]:
        """Return the provider's undelivered events, the oldest first."""
        client: Any = self.sandbox.client()
        found = [event.to_dict() for event in client.v1.events.list({"limit": 100}).auto_paging_iter()]
        return [event for event in reversed(found) if event["id"] not in self.seen]

    async def deliver(self, order: Callable[[list[dict[str, Any]]], Sequence[dict[str, Any]]] = list) -> None:
        """Deliver all new events."""
        for event in order(self.events()):
            self.seen.add(event["id"])
            await self.webhooks.take(_read(json.loads(json.dumps(event))), "secret-1")

    async def run_until_idle(self) -> None:
        """Run calls and deliver events until nothing is left to do."""
        while True:
            await self.flows.run_calls()
            if not self.events():
                break
            await self.deliver()
        await eventually_async(self._applied)

    async def post(self, target: str, body: object, key: str = "", **headers: str) -> Answer:
        """Request a change with this idempotency key, or with a new one per call."""
        self.asked += 1
        names = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        names |= {"idempotency-key": key or f"suite-{self.asked}", **headers}
        return await ask(self.port, "POST", target, names, json.dumps(body).encode())

    async def get(self, target: str) -> Answer:
        """Send a GET request."""
        return await ask(self.port, "GET", target, {"authorization": f"Bearer {self.key}"})

    async def refund(self, payment_id: UUID, amount: str | None = None, key: str = "", **more: object) -> Answer:
        """Request a refund."""
        body = {**({"amount": amount} if amount else {}), **more}
        return await self.post(f"/v1/payments/{payment_id}/refunds", body, key)

    async def published(self, payment_id: UUID) -> list[tuple[str, dict[str, Any]]]:
        """Return the published events of a payment, in order: topic (without `payments.`) and value."""
        rows = await self.flows.pool.fetch(
            "SELECT type, payload FROM outbox WHERE aggregateid = $1 ORDER BY sequence", payment_id
        )
        return [(row["type"].removeprefix("payments."), json.loads(row["payload"])) for row in rows]

    async def _applied(self) -> bool:
        waiting = "SELECT count(*) FROM payment_events WHERE NOT processed AND retry_at IS NOT NULL"
        return not await self.flows.pool.fetchval(waiting)


@asynccontextmanager
async def open_harness(dsn: str, sandbox: SandboxProcess, **changes: object) -> AsyncIterator[Harness]:
    """Open everything, and close it afterwards."""
    async with open_flows(dsn, sandbox.base_url, **changes) as flows:
        dispatcher = flows.dispatcher()
        webhooks = Webhooks(flows.context())
        inbox = Inbox()
        app = build_app(
            config=flows.config,
            context=flows.context(wake_dispatcher=dispatcher.wake),
            store_event=inbox.take,
            reads=flows.pool,
            receivers=receivers_of(flows.config),
            quarantine=inbox.quarantine,
            readiness=ready,
        )
        key = await api_keys.create(flows.pool, client="shop", scopes=[Scope.ADMIN])
        await dispatcher.start()
        webhooks.start()
        try:
            async with served(app) as port:
                yield Harness(
                    flows=flows,
                    sandbox=sandbox,
                    webhooks=webhooks,
                    dispatcher=dispatcher,
                    port=port,
                    key=key,
                    seen=set(),
                    dsn=dsn,
                    asked=0,
                )
        finally:
            await webhooks.stop()
            await dispatcher.stop(5)
            _check_sums(dsn)


def _read(event: dict[str, Any]) -> Any:
    return translate(event, deployment="default", livemode=False)


def _check_sums(dsn: str) -> None:
    """Assert after every test that the payment's sums equal those of its refunds (I7)."""
    with psycopg.connect(dsn) as connection:
        wrong = connection.execute(
            "SELECT p.id FROM payments p LEFT JOIN refunds r ON r.payment_id = p.id GROUP BY p.id HAVING p.refunded <>"
            " coalesce(sum(r.amount) FILTER (WHERE r.status = 'succeeded'), 0) OR p.reserved <>"
            " coalesce(sum(r.amount) FILTER (WHERE r.status IN ('pending', 'requires_action')), 0)"
        ).fetchall()
    assert wrong == []
