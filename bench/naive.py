"""The naive rival: one request, one transaction, and a record published after the commit. It does what a first version does.

It verifies no signature, loses records when it dies after a commit, and charges twice when it dies before one. So its rate is
only a yardstick. Run: `python -m bench.naive PORT`, with DB_DSN, KAFKA_BROKERS and STRIPE_API_BASE.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import aiohttp
import asyncpg
import uvicorn
import uvloop
from confluent_kafka import Consumer, Producer
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message
    from starlette.requests import Request

_SCHEMA: Final = """
CREATE TABLE payments (
    id uuid PRIMARY KEY, order_id text NOT NULL, provider_payment_id text NOT NULL, amount bigint NOT NULL, currency text NOT NULL,
    status text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON payments (order_id);
CREATE INDEX ON payments (provider_payment_id);
CREATE TABLE payment_events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), payment_id uuid NOT NULL REFERENCES payments (id), event_type text NOT NULL,
    provider_event_id text NOT NULL, payload jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON payment_events (payment_id);
"""


class Naive:
    """The handlers, with their database, producer and HTTP client."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], producer: Producer, session: aiohttp.ClientSession) -> None:
        self._pool = pool
        self._producer = producer
        self._session = session

    async def take_webhook(self, request: Request) -> Response:
        """Store an event, change its payment, publish, answer."""
        event: Any = json.loads(await request.body())
        intent = event["data"]["object"]
        async with self._pool.acquire() as connection, connection.transaction():
            payment = await connection.fetchrow(
                "SELECT * FROM payments WHERE provider_payment_id = $1 FOR UPDATE", intent["id"]
            )
            if payment is None:
                return JSONResponse({"error": "no such payment"}, 404)
            await connection.execute(
                "INSERT INTO payment_events (payment_id, event_type, provider_event_id, payload) VALUES ($1, $2, $3, $4)",
                payment["id"],
                event["type"],
                event["id"],
                json.dumps(event),
            )
            await connection.execute("UPDATE payments SET status = 'succeeded' WHERE id = $1", payment["id"])
        await self._publish("payments.succeeded", str(payment["id"]), {"order_id": payment["order_id"]})
        return JSONResponse({"received": True})

    async def take_order(self, message: Message) -> None:
        """Create the intent of an order, store the payment, publish."""
        order: Any = json.loads(message.value() or b"")
        payment_id, amount = uuid4(), round(float(order["total"]) * 100)
        form = {
            "amount": amount,
            "currency": order["currency"],
            "metadata[order_id]": order["order_id"],
            "metadata[payment_id]": str(payment_id),
            "metadata[deployment]": "bench",
        }
        async with self._session.post("/v1/payment_intents", data=form) as answer:
            intent = await answer.json()
        await self._pool.execute(
            "INSERT INTO payments (id, order_id, provider_payment_id, amount, currency, status) VALUES ($1, $2, $3, $4, $5, 'pending')",
            payment_id,
            order["order_id"],
            intent["id"],
            amount,
            order["currency"],
        )
        await self._publish("payments.initiated", str(payment_id), {"order_id": order["order_id"]})

    async def _publish(self, topic: str, key: str, value: dict[str, str]) -> None:
        """Publish a record and wait until the broker has it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def acknowledge(error: KafkaError | None, _message: Message) -> None:
            loop.call_soon_threadsafe(finish, error)

        def finish(error: KafkaError | None) -> None:
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(RuntimeError(error.str()))

        self._producer.produce(topic, key=key, value=json.dumps(value), on_delivery=acknowledge)
        await done


async def _poll(producer: Producer) -> None:
    while True:
        await asyncio.to_thread(producer.poll, 0.1)


async def _consume(naive: Naive, consumer: Consumer) -> None:
    """Process orders one after another, as a consumer without threads does."""
    consumer.subscribe(["orders.created"])
    while True:
        for message in await asyncio.to_thread(consumer.consume, 500, 0.1):
            if message.error() is None:
                await naive.take_order(message)
        consumer.commit(asynchronous=True)


async def _ready(_request: Request) -> Response:
    return JSONResponse({"ready": True})


async def serve(port: int) -> None:
    """Run until the process ends."""
    brokers = os.environ["KAFKA_BROKERS"]
    pool = await asyncpg.create_pool(os.environ["DB_DSN"], max_size=20)
    await pool.execute(_SCHEMA)
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0, "acks": "all"})
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "naive",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    async with aiohttp.ClientSession(os.environ["STRIPE_API_BASE"]) as session:
        naive = Naive(pool, producer, session)
        app = Starlette(
            routes=[Route("/webhooks/stripe", naive.take_webhook, methods=["POST"]), Route("/ready", _ready)]
        )
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, access_log=False, log_level="warning"))
        await asyncio.gather(_poll(producer), _consume(naive, consumer), server.serve())


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
