"""Run the flows of the service on a real database and a real sandbox, with a clock that the test moves."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from payment_service.config.config import Config
from payment_service.contracts.cancelled_orders import decode_cancelled_order
from payment_service.contracts.incoming import InboundRecord
from payment_service.contracts.orders import decode_order
from payment_service.db import operations
from payment_service.db.operations import Claimed
from payment_service.db.pool import Pool, open_pool
from payment_service.domain.ids import payment_id
from payment_service.flows.calls.dispatch import Dispatcher
from payment_service.flows.calls.outcomes import KEY_VALID_S
from payment_service.flows.intake.orders import OrderIntake
from payment_service.flows.state.context import Context
from payment_service.provider.providers import Providers
from payment_service.provider.stripe.adapter import Stripe
from tests.support.eventually import eventually_async

UNFINISHED = "SELECT count(*) FROM operations WHERE state IN ('due', 'claimed')"


def config_for(dsn: str, api_base: str, **changes: object) -> Config:
    """Build the configuration of a service under test, without a limit on the provider's rate."""
    settings: dict[str, Any] = {
        "kafka_brokers": "127.0.0.1:9",
        "db_dsn": SecretStr(dsn),
        "stripe_secret_key": SecretStr("sk_test_sandbox_suite"),
        "stripe_webhook_secret": (SecretStr("whsec_suite"),),
        "stripe_api_base": api_base,
        "provider_rate_per_second": 1000.0,
        "provider_timeout_s": 2.0,
        **changes,
    }
    return Config(**settings)


class Clock:
    """A clock that the test moves forward. It starts at the real time."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the real time plus `ahead`."""
        return datetime.now(UTC) + self.ahead

    async def database_now(self, _connection: object) -> datetime:
        """The database's moment, as far ahead as it was moved."""
        return self.now()


def order(order_id: str, total: str = "19.90", currency: str = "eur", **fields: object) -> bytes:
    """Build the value of a record of `orders.created`."""
    return json.dumps(
        {"order_id": order_id, "user_id": "user-1", "total": total, "currency": currency, **fields}
    ).encode()


def inbound_record(
    value: bytes | None, offset: int, *, age: timedelta = timedelta(), partition: int = 0
) -> InboundRecord:
    """Build a record of `orders.created` as the consumer passes it on."""
    timestamp_ms = int((time.time() - age.total_seconds()) * 1000)
    return InboundRecord(
        topic="orders.created",
        partition=partition,
        offset=offset,
        timestamp_ms=timestamp_ms,
        key=None,
        value=value,
        headers=(),
        decoded=decode_order(value, timestamp_ms=timestamp_ms),
    )


def cancelled(value: object, offset: int = 0) -> InboundRecord:
    """Build a record of `orders.cancelled` as the consumer passes it on."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    like = inbound_record(content, offset)
    return replace(
        like,
        topic="orders.cancelled",
        decoded=decode_cancelled_order(content, timestamp_ms=like.timestamp_ms),
    )


def name_of(order_id: str) -> UUID:
    """Return the id of an order's first payment."""
    return payment_id("default", order_id, 1)


class Flows(SimpleNamespace):
    """The harness of tests of single flows."""

    pool: Pool
    config: Config
    clock: Clock
    provider: Stripe
    providers: Providers
    intake: OrderIntake

    def use(self, providers: Providers) -> None:
        """Use these providers for new orders."""
        self.providers = providers
        self.intake = _intake(self.config, self.context())

    def context(self, **changes: Any) -> Context:
        """Build the context of the flows. By default it wakes no dispatcher."""
        settings = {
            "pool": self.pool,
            "providers": self.providers,
            "deployment": self.config.deployment,
            "now": self.clock.now,
            "database_now": self.clock.database_now,
        }
        return Context(**{**settings, **changes})

    def dispatcher(self, **changes: Any) -> Dispatcher:
        """Create a dispatcher. The test starts and stops it."""
        settings = {"name": "stripe", "config": self.config, "random": Random(7)}
        return Dispatcher(self.context(), **{**settings, **changes})

    async def claim(
        self, worker: UUID, *, slots: int = 1, rate_per_s: float = 1e6, burst: float = 1e6
    ) -> list[Claimed]:
        """Claim operations for a registered worker."""
        batch = await operations.claim(
            self.pool,
            worker=worker,
            provider="stripe",
            slots=slots,
            rate_per_s=rate_per_s,
            burst=burst,
            blocked=(),
            key_valid_s=KEY_VALID_S,
        )
        return batch.operations

    async def accept(self, *order_ids: str, **fields: Any) -> None:
        """Accept orders of 19.90 eur."""
        values = [order(order_id, **fields) for order_id in order_ids]
        await self.intake.accept([inbound_record(value, offset) for offset, value in enumerate(values)])

    async def run_calls(self, timeout_s: float = 20) -> None:
        """Wait until no operation is due or claimed."""

        async def none_left() -> bool:
            return int(await self.pool.fetchval(UNFINISHED)) == 0

        await eventually_async(none_left, timeout_s=timeout_s)

    async def payment(self, order_id: str) -> dict[str, Any]:
        """Return the row of an order's payment."""
        return dict(await self.pool.fetchrow("SELECT * FROM payments WHERE id = $1", name_of(order_id)))  # type: ignore[arg-type]

    async def operation(self, order_id: str, kind: str = "create") -> dict[str, Any]:
        """Return the row of an operation of an order's payment."""
        row = await self.pool.fetchrow(
            "SELECT * FROM operations WHERE payment_id = $1 AND kind = $2", name_of(order_id), kind
        )
        return dict(row)  # type: ignore[arg-type]


@asynccontextmanager
async def open_flows(dsn: str, api_base: str, **changes: object) -> AsyncIterator[Flows]:
    """Open the pool and the provider, and close them afterwards."""
    config = config_for(dsn, api_base, **changes)
    clock = Clock()
    pool = await open_pool(config)
    provider = Stripe(config, now_s=lambda: clock.now().timestamp())
    flows = Flows(pool=pool, config=config, clock=clock, provider=provider)
    flows.use(Providers({"stripe": provider}))
    try:
        yield flows
    finally:
        await provider.close()
        pool.terminate()


def _intake(config: Config, context: Context) -> OrderIntake:
    return OrderIntake(
        context,
        order_max_age=config.order_max_age,
        manual_capture=config.capture_method == "manual",
        expires_after=config.payment_expires_after,
    )
