"""Run a shop around the service: orders on Kafka, customers at the sandbox, and processes that tests kill."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import psycopg
from psycopg.rows import dict_row

from payment_service.db import api_keys
from payment_service_demo.embedded.process import free_port
from tests.support import proxy
from tests.support.checker import Evidence, gather, violations
from tests.support.eventually import NeverHappenedError, eventually
from tests.support.flows import name_of
from tests.support.kafka import Topics, group_id
from tests.support.sandbox import WEBHOOK_SECRET, SandboxProcess
from tests.support.service import ServiceProcess, StartService

# Another process resumes the work of a killed one after about 6 s. Beside other tests, its processes start several times slower.
RESUMED_WITHIN_S: Final = 30.0
PAID_EVENTS: Final = ("payment_intent.succeeded", "payment_intent.payment_failed", "charge.succeeded")

_WORK_LEFT: Final = """
SELECT (SELECT count(*) FROM operations WHERE state IN ('due', 'claimed')) AS operations,
       (SELECT count(*) FROM outbox_pending) AS records,
       (SELECT count(*) FROM payment_events WHERE NOT processed AND retry_at IS NOT NULL) AS events,
       (SELECT count(*) FROM payments WHERE status = 'created') AS created,
       %(orders)s - (SELECT count(DISTINCT order_id) FROM payments WHERE order_id = ANY (%(names)s)) AS orders,
       %(bad)s - (SELECT count(*) FROM quarantine) AS bad
"""


class Shop:
    """The harness of tests of whole processes. By default the processes share one webhook endpoint, `port`."""

    def __init__(self, *, sandbox: SandboxProcess, topics: Topics, dsn: str, start: StartService) -> None:
        self.sandbox = sandbox
        self.topics = topics
        self.dsn = dsn
        self.orders: list[str] = []
        self.port = free_port()
        self.group_id = group_id()
        self._start = start
        self._written = 0
        self._sent_types: Sequence[str] = ()
        self._bad = 0
        self._api_key = ""
        self._stripe = sandbox.client()
        self._env = {
            "STRIPE_API_BASE": sandbox.base_url,
            "KAFKA_GROUP_ID": self.group_id,
            # A rebalance waits for half of it, and a killed member keeps its partitions for all of it.
            "KAFKA_SESSION_TIMEOUT_MS": "2000",
            "PROVIDER_RATE_PER_SECOND": "1000",
            "PROVIDER_TIMEOUT_S": "5",
        }
        sandbox.set_webhook(self.webhook_url())

    def webhook_url(self, service: ServiceProcess | None = None) -> str:
        """Return the webhook URL of a process, by default of the one on the shared port."""
        return f"http://127.0.0.1:{service.service_port if service else self.port}/webhooks/stripe"

    def serve(self, only: str | None = None, **changes: str) -> ServiceProcess:
        """Start a process on the shared port and wait until it is ready."""
        return self._start(only, **{**self._env, "SERVICE_PORT": str(self.port), **changes})

    def serve_workers(self, workers: int) -> ServiceProcess:
        """Start a process with workers on the shared port and wait until one is ready."""
        return self._start(workers=workers, **{**self._env, "SERVICE_PORT": str(self.port)})

    def serve_beside(self, only: str | None = None, **changes: str) -> ServiceProcess:
        """Start a process on its own port and wait until it is ready."""
        return self.serve(only, **{"SERVICE_PORT": str(free_port()), **changes})

    def serve_armed(self, point: str, only: str | None = None, **changes: str) -> ServiceProcess:
        """Start a process that dies at a crash point (`name:3`: at the third time). Do not wait: it may die at once."""
        process = self.serve(only, wait=False, CRASH_AT=point, **changes)  # type: ignore[arg-type]
        process.spawn()
        return process

    def order(self, *order_ids: str, **fields: object) -> None:
        """Write orders of 19.90 eur to Kafka, keyed by their ids."""
        made = [
            {"order_id": name, "user_id": "user-1", "total": "19.90", "currency": "eur", **fields} for name in order_ids
        ]
        self.write(made)
        self.orders += order_ids

    def write(self, values: Sequence[object], *, bad: int = 0) -> None:
        """Write records to `orders.created`; `bad` of them are expected in quarantine."""
        self.topics.produce(values, key=lambda value: value["order_id"] if isinstance(value, dict) else None)
        self._written += len(values)
        self._bad += bad

    def expect_bad(self, records: int) -> None:
        """Expect records in quarantine that were written without `write`."""
        self._written += records
        self._bad += records

    def send_only(self, *types: str) -> None:
        """Make the provider send only events of these types."""
        self._sent_types = types
        self.sandbox.set_webhook(self.webhook_url(), events=types)

    def pay(self, *order_ids: str, method: str = "pm_card_visa") -> None:
        """Pay as soon as the payments have an intent."""
        for order_id in order_ids:
            intent = self.intent_of(order_id)
            try:
                self._stripe.v1.payment_intents.confirm(intent, {"payment_method": method})
            except Exception as error:
                if getattr(error, "http_status", None) != 402:
                    raise

    def refund(self, order_id: str, amount: str, key: str) -> int:
        """Request a refund and return the response's status."""
        return self.request_change("refunds", order_id, {"amount": amount}, key)

    def request_change(self, change: str, order_id: str, body: Mapping[str, str], key: str) -> int:
        """Request a change of a payment from the service on the shared port. Return the response's status."""
        return self._call(f"payments/{name_of(order_id)}/{change}", body, key)[0]

    def open_payment(self, order_id: str, key: str) -> int:
        """Request a new payment of an order and return the response's status."""
        return self._call("payments", {"order_id": order_id}, key)[0]

    def checkout(self, order_id: str) -> tuple[int, str]:
        """Request checkout data for an order. Return the status and text of the response."""
        return self._call(f"checkout?order_id={order_id}")

    def _call(self, target: str, body: Mapping[str, str] | None = None, key: str = "") -> tuple[int, str]:
        """Call the API of the service on the shared port. A body makes it a change."""
        self._api_key = self._api_key or asyncio.run(self.make_key())
        headers = {"Authorization": f"Bearer {self._api_key}"}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Idempotency-Key": key}
        text = None if body is None else json.dumps(body).encode()
        return ask(f"http://127.0.0.1:{self.port}/v1/{target}", text, headers)

    async def make_key(self) -> str:
        """Create an API key that may change payments and use checkout."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await api_keys.create(connection, client="shop", scopes=["refund", "checkout"])
        finally:
            await connection.close()

    def intent_of(self, order_id: str) -> str:
        """Wait for the intent of an order's payment and return its id."""
        query = "SELECT provider_payment_id FROM payments WHERE id = %s AND provider_payment_id IS NOT NULL"

        def intent() -> str | None:
            rows = self.query(query, name_of(order_id))
            return str(rows[0]["provider_payment_id"]) if rows else None

        return eventually(intent) or ""

    def query(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        """Query the database in a separate session."""
        with psycopg.connect(self.dsn, row_factory=dict_row, autocommit=True) as connection:
            return connection.execute(statement.encode(), arguments).fetchall()

    def execute(self, statement: str) -> None:
        """Change the database without the service."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def count(self, table: str, where: str = "true") -> int:
        """Count rows."""
        return int(self.query(f"SELECT count(*) AS n FROM {table} WHERE {where}")[0]["n"])  # noqa: S608 - the tests' own

    def wait_status(self, status: str, *order_ids: str, timeout_s: float = 30) -> None:
        """Wait until the payments of these orders have this status."""
        names = [name_of(order_id) for order_id in order_ids or self.orders]
        query = "SELECT count(*) AS n FROM payments WHERE id = ANY (%s) AND status = %s"
        eventually(lambda: self.query(query, names, status)[0]["n"] == len(names), timeout_s=timeout_s)

    def wait_quiet(self, timeout_s: float = 30, *, deliveries: bool = True) -> None:
        """Wait until every order has its payment and no work is left, nor (`deliveries`) any delivery."""
        with psycopg.connect(self.dsn, row_factory=dict_row, autocommit=True) as connection:
            arguments = {"orders": len(set(self.orders)), "names": self.orders, "bad": self._bad}
            left: dict[str, Any] = {}

            def no_work_left() -> bool:
                left.update(connection.execute(_WORK_LEFT, arguments).fetchone() or {})
                if not any(left[name] for name in left if name != "deliveries"):
                    left["deliveries"] = int(deliveries and not self.all_delivered())
                return left.get("deliveries") == 0 and not any(left.values())

            try:
                eventually(no_work_left, timeout_s=timeout_s, interval_s=0.05)
            except NeverHappenedError as error:
                raise NeverHappenedError(f"Still to do after {timeout_s} s: {left}") from error

    def evidence(self) -> Evidence:
        """Collect the checker's evidence."""
        return gather(
            sandbox=self.sandbox,
            dsn=self.dsn,
            topics=self.topics,
            orders=self._written,
            sent_types=self._sent_types,
        )

    def check(self) -> Evidence:
        """Assert that no invariant is violated, and return the evidence."""
        evidence = self.evidence()
        found = violations(evidence)
        assert found == [], found[:10]
        return evidence

    def events(self, *types: str) -> list[dict[str, Any]]:
        """The sandbox's events of these types, oldest first."""
        listed = self._stripe.v1.events.list({"limit": 100, "types": list(types)})
        return [event.to_dict() for event in listed.auto_paging_iter()][::-1]

    def all_delivered(self) -> bool:
        """Return whether every event was answered 2xx."""
        return not self._stripe.v1.events.list({"limit": 1, "delivery_success": False}).data


@contextmanager
def shops(*, topics: Topics, dsn: str, start: StartService, folder: Path) -> Iterator[Shop]:
    """Yield a shop with its own sandbox."""
    sandbox = SandboxProcess(folder, in_memory=True)
    sandbox.options = ["--allowed-host", proxy.HOST]  # a service behind a proxy reaches it by this name
    sandbox.start()
    try:
        yield Shop(sandbox=sandbox, topics=topics, dsn=dsn, start=start)
    finally:
        sandbox.clean_up()


def assert_died_at(process: ServiceProcess, point: str) -> None:
    """Wait until the process has killed itself at this crash point. Fails if it never reaches it."""
    process.wait_killed()
    reached = f"crash point reached: {point.partition(':')[0]}"
    assert process.logs(reached), f"{reached!r} is not in the log"


def signed(event: Mapping[str, Any], secret: str = WEBHOOK_SECRET) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a delivery as Stripe makes them."""
    body = json.dumps(event, separators=(",", ":")).encode()
    moment = int(time.time())
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": f"t={moment},v1={mac}"}


def ask(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Send one request (POST if there is a body). Return the response's status and text."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)
    try:
        target = f"{place.path}?{place.query}" if place.query else place.path
        connection.request("GET" if body is None else "POST", target, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def post(*deliveries: tuple[str, Mapping[str, Any]], at_once: int = 100) -> list[int]:
    """Post events, each to its URL, in order but `at_once` at a time. Return the responses' statuses."""
    return asyncio.run(_post(deliveries, at_once))


def post_in_lanes(*lanes: Sequence[tuple[str, Mapping[str, Any]]], at_once: int = 50) -> list[int]:
    """Do the same for several sequences in parallel."""

    async def all_lanes() -> list[list[int]]:
        return await asyncio.gather(*(_post(lane, at_once) for lane in lanes))

    return [status for statuses in asyncio.run(all_lanes()) for status in statuses]


async def _post(deliveries: Iterable[tuple[str, Mapping[str, Any]]], at_once: int) -> list[int]:
    slots = asyncio.Semaphore(at_once)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:

        async def one(url: str, event: Mapping[str, Any]) -> int:
            body, headers = signed(event)
            async with slots, session.post(url, data=body, headers=headers) as response:
                await response.read()
                return response.status

        return await asyncio.gather(*(one(url, event) for url, event in deliveries))


def broker_state(service: ServiceProcess) -> str:
    """Return the broker state in `/ready` of a service that is ready."""
    status, body = ask(f"{service.metrics_url}/ready")
    assert status == http.HTTPStatus.OK, body
    return str(json.loads(body)["checks"]["broker"])
