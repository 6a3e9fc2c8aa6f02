"""Members of a consumer group under test, and a receiver that plays the flow which accepts their batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import REGISTRY

from payment_service.config.config import Config
from payment_service.contracts.incoming import InboundRecord
from payment_service.kafka.consumer import OrderConsumer
from tests.support.eventually import eventually_async
from tests.support.kafka import ORDERS, Topics
from tests.support.outbox import config_of

Position = tuple[str, int, int]


def order(number: int) -> dict[str, Any]:
    """Build an acceptable order."""
    return {
        "order_id": f"o-{number}",
        "user_id": "u",
        "total": "19.90",
        "currency": "EUR",
        "items_count": 1,
        "items": [],
    }


def position(inbound_record: InboundRecord) -> Position:
    """Return a record's topic, partition and offset."""
    return (inbound_record.topic, inbound_record.partition, inbound_record.offset)


def lag_of(partition: int) -> float | None:
    """Read the lag metric of a partition, or None while the partition is not assigned."""
    return REGISTRY.get_sample_value("payments_consumer_lag_records", {"topic": ORDERS, "partition": str(partition)})


class BatchReceiver:
    """Accept batches and record them. It can also reject a batch, or block until released."""

    def __init__(self) -> None:
        self.accepted: list[InboundRecord] = []
        self.refused: list[Sequence[InboundRecord]] = []
        self.refusals_left = 0
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = 0

    async def accept(self, batch: Sequence[InboundRecord]) -> None:
        """Accept a batch or raise."""
        self.waiting = len(batch)
        await self.open.wait()
        self.waiting = 0
        if self.refusals_left > 0:
            self.refusals_left -= 1
            self.refused.append(batch)
            raise ConnectionError("the database is down")
        self.accepted += batch

    @property
    def positions(self) -> set[Position]:
        """Return the position of every accepted record."""
        return {position(inbound_record) for inbound_record in self.accepted}

    async def wait_for(self, count: int, timeout_s: float = 30) -> None:
        """Wait until this many distinct records are accepted."""
        await eventually_async(lambda: len(self.positions) >= count, timeout_s=timeout_s)


Start = Callable[[BatchReceiver], OrderConsumer]


def consumer_config(topics: Topics, group: str) -> Config:
    """Build the configuration of a member. No database is needed."""
    return config_of(
        {
            "DB_DSN": "postgresql://nobody@127.0.0.1:9/none",
            "KAFKA_BROKERS": topics.bootstrap_servers,
            "KAFKA_GROUP_ID": group,
            "KAFKA_SESSION_TIMEOUT_MS": "2000",
            "STRIPE_SECRET_KEY": "sk_test_suite",
            "STRIPE_WEBHOOK_SECRET": "whsec_suite",
        }
    )


@asynccontextmanager
async def running_members(config: Config) -> AsyncIterator[Start]:
    """Yield a function that starts a member of the group; stop all members afterwards."""
    members: list[OrderConsumer] = []

    def start(receiver: BatchReceiver) -> OrderConsumer:
        consumer = OrderConsumer(config, receiver.accept, asyncio.get_running_loop())
        members.append(consumer)
        consumer.start()
        return consumer

    yield start
    for consumer in members:
        await asyncio.to_thread(consumer.stop, 2)
