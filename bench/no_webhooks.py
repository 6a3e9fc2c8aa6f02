"""Measure how soon payments are known as paid when no webhook arrives.

Run: `python -m bench.no_webhooks`. Orders arrive at a constant rate, and each customer pays at the sandbox, which has no
webhook endpoint. The budget of calls is a little above the rate. The time runs from the payment to the commit of `succeeded`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from typing import Final
from urllib.request import urlopen

import aiohttp
import asyncpg
from confluent_kafka import Producer

from bench.environment import Environment, start_environment
from bench.runs import order

# The limit of invariant I16 at this load.
SETTLED_WITHIN_S: Final = 300
HEADERS: Final = {"Authorization": "Bearer sk_test_bench"}
NEW: Final = "SELECT provider_payment_id FROM payments WHERE status = 'pending' AND provider_payment_id IS NOT NULL"
SETTLED: Final = """
SELECT p.provider_payment_id, extract(epoch FROM h.created_at)::float8
FROM payment_history h JOIN payments p ON p.id = h.payment_id WHERE h.to_status = 'succeeded'
"""


def main() -> int:
    """Run and print the times. Exit code 1: a payment was not known in time."""
    parser = argparse.ArgumentParser(prog="python -m bench.no_webhooks", description=__doc__)
    parser.add_argument("--rate", type=int, default=80, help="payments per second (%(default)s)")
    parser.add_argument("--budget", type=int, default=100, help="PROVIDER_RATE_PER_SECOND (%(default)s)")
    parser.add_argument("--seconds", type=int, default=300, help="duration of the load (%(default)s)")
    arguments = parser.parse_args()
    with start_environment(64, rate_per_s=arguments.budget, sandbox=True) as on:
        return asyncio.run(_measure(on, arguments.rate, arguments.seconds))


async def _measure(on: Environment, rate: int, seconds: int) -> int:
    paid: dict[str, float] = {}
    count = rate * seconds
    pool = await asyncpg.create_pool(on.dsn, min_size=1, max_size=2)
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        paying = asyncio.create_task(_pay(on, pool, session, paid, count))
        await asyncio.to_thread(_order, on, rate, seconds)
        await paying
    deadline = time.time() + SETTLED_WITHIN_S
    while time.time() < deadline and await pool.fetchval("SELECT count(*) FROM polls"):  # noqa: ASYNC110 - another process
        await asyncio.sleep(1)
    settled: dict[str, float] = {row[0]: row[1] for row in await pool.fetch(SETTLED)}
    await pool.close()
    waits = sorted(settled[intent] - paid[intent] for intent in settled.keys() & paid.keys())
    print(f"{len(settled)} of {count} payments are known as paid; {rate}/s for {seconds} s")
    if waits:
        print(
            f"after {waits[len(waits) // 2]:.0f} s (median), {waits[len(waits) * 99 // 100]:.0f} s (p99), {waits[-1]:.0f} s (max)"
        )
    _print_calls(on)
    return int(len(settled) < count or waits[-1] > SETTLED_WITHIN_S)


def _order(on: Environment, rate: int, seconds: int) -> None:
    producer = Producer({"bootstrap.servers": on.brokers, "linger.ms": 5})
    started = time.monotonic()
    for n in range(rate * seconds):
        time.sleep(max(0.0, started + n / rate - time.monotonic()))
        producer.produce("orders.created", key=f"o-{n}", value=order(f"o-{n}", n))
        producer.poll(0)
    producer.flush(30)


async def _pay(
    on: Environment, pool: asyncpg.Pool, session: aiohttp.ClientSession, paid: dict[str, float], count: int
) -> None:
    url = f"http://127.0.0.1:{on.provider_port}/v1/payment_intents"

    async def confirm(intent: str) -> None:
        async with session.post(f"{url}/{intent}/confirm", data={"payment_method": "pm_card_visa"}) as response:
            response.raise_for_status()
        paid[intent] = time.time()

    while len(paid) < count:
        new = [row[0] for row in await pool.fetch(NEW) if row[0] not in paid]
        await asyncio.gather(*(confirm(intent) for intent in new[:64]))
        await asyncio.sleep(0.2)


def _print_calls(on: Environment) -> None:
    with urlopen(f"http://127.0.0.1:{on.metrics_port}/metrics") as answer:
        text: str = answer.read().decode()
    for line in text.splitlines():
        if re.match(r"payments_(provider_calls|polls|events_read)_total\{", line):
            print(line)


if __name__ == "__main__":
    sys.exit(main())
