"""The release before and this one side by side: the schema is migrated under load, new replicas start, the old ones stop."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import asyncpg
import pytest

from payment_service.db import api_keys
from tests.support.command import run
from tests.support.eventually import eventually
from tests.support.flows import name_of
from tests.support.kafka import Topics
from tests.support.previous import unpack
from tests.support.service import ServiceProcess, StartService
from tests.support.shop import Shop, ask, shops

pytestmark = [pytest.mark.timeout(180), pytest.mark.kafka]


class Customers:
    """People who order, pay and look at their payments, without a pause, until they are told to stop."""

    def __init__(self, shop: Shop, key: str) -> None:
        self.replicas: list[ServiceProcess] = []
        self.orders: list[str] = []
        self.answers: Counter[int | str] = Counter()
        self._shop = shop
        self._headers = {"Authorization": f"Bearer {key}"}
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._come)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def wait_for_more(self, orders: int) -> None:
        """Wait until so many more have been ordered, paid and looked at."""
        wanted = len(self.orders) + orders
        eventually(lambda: len(self.orders) >= wanted, timeout_s=60)

    def _come(self) -> None:
        number = 0
        while not self._enough.is_set():
            names = [f"load-{number + i}" for i in range(5)]
            number += len(names)
            self._shop.order(*names)
            self._shop.pay(*names)
            for replica in list(self.replicas):
                for name in names:
                    status, _ = ask(f"{replica.url}/v1/payments/{name_of(name)}", None, self._headers)
                    self.answers[status] += 1
            self.orders += names


@pytest.fixture
def previous(tmp_path: Path) -> dict[str, str]:
    """Give the environment of the release before."""
    return unpack(tmp_path / "previous")


@pytest.fixture
def old_shop(
    topics: Topics, empty_database_dsn: str, previous: dict[str, str], start_service: StartService, tmp_path: Path
) -> Iterator[Shop]:
    """Give a shop on a database that the release before has made."""
    made = run("migrate", env={"DB_DSN": empty_database_dsn, **previous})
    assert made.returncode == 0, made.stderr
    assert "to 1" in made.stdout
    with shops(topics=topics, dsn=empty_database_dsn, start=start_service, folder=tmp_path) as shop:
        yield shop


async def make_key(dsn: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        return await api_keys.create(connection, client="shop", scopes=["read", "refund"])
    finally:
        await connection.close()


def join(shop: Shop, **changes: str) -> ServiceProcess:
    """Start a replica and wait until it takes orders: the embedded broker forgets one that joins while others come or go."""
    replica = shop.serve_beside(DB_DSN=shop.dsn, **changes)
    replica.wait_for_log("partitions_assigned", timeout_s=30)
    return replica


def fill(shop: Shop) -> None:
    """Let payments of the release before come to every state that it knows."""
    shop.order("pending", "declined", "paid", "authenticating", "canceled", "given-back")
    shop.pay("paid", "given-back")
    shop.pay("declined", method="pm_card_chargeDeclined")
    shop.pay("authenticating", method="pm_card_authenticationRequired")
    shop.sandbox.client().v1.payment_intents.cancel(shop.intent_of("canceled"))
    shop.wait_status("succeeded", "paid", "given-back")
    shop.sandbox.client().v1.refunds.create({"payment_intent": shop.intent_of("given-back"), "amount": 500})
    shop.wait_status("declined", "declined")
    shop.wait_status("requires_action", "authenticating")
    shop.wait_status("canceled", "canceled")


@pytest.mark.invariant("I2")
def test_nothing_fails_while_the_schema_is_migrated_and_the_replicas_are_replaced(
    old_shop: Shop, previous: dict[str, str]
) -> None:
    """No order lost, no charge twice, no request failed, no record out of its order."""
    shop = old_shop
    before = [join(shop, **previous), join(shop, **previous)]
    shop.sandbox.set_webhook(shop.webhook_url(before[0]))
    fill(shop)
    with Customers(shop, asyncio.run(make_key(shop.dsn))) as customers:
        customers.replicas = before
        customers.wait_for_more(20)
        migrated = run("migrate", env={"DB_DSN": shop.dsn})
        assert migrated.returncode == 0, migrated.stderr
        assert "from revision 1 to 4" in migrated.stdout
        customers.wait_for_more(20)
        after = [join(shop), join(shop)]
        customers.replicas = before + after
        customers.wait_for_more(20)
        shop.sandbox.set_webhook(shop.webhook_url(after[0]))
        customers.wait_for_more(10)
        customers.replicas = after
        customers.wait_for_more(5)
        for replica in before:
            replica.stop()
            customers.wait_for_more(10)
    maintained = run("maintain", env={"DB_DSN": shop.dsn})
    assert maintained.returncode == 0, maintained.stderr
    shop.wait_status("succeeded", "paid", "given-back", *customers.orders)
    shop.wait_quiet()
    evidence = shop.check()
    assert set(customers.answers) == {200}
    refunded = {row["order_id"]: row["refunded"] for row in evidence.tables["payments"] if row["refunded"]}
    assert refunded == {"given-back": 500}


def test_calls_that_only_new_replicas_know_are_harmless_in_the_hands_of_old_ones(
    old_shop: Shop, previous: dict[str, str]
) -> None:
    """Refunds, captures and cancellations while old dispatchers still take whatever is due."""
    shop = old_shop
    before = shop.serve_beside(DB_DSN=shop.dsn, **previous)
    assert run("migrate", env={"DB_DSN": shop.dsn}).returncode == 0
    after = shop.serve(DB_DSN=shop.dsn)
    refunds = [f"refund-{i}" for i in range(10)]
    cancels = [f"cancel-{i}" for i in range(10)]
    shop.order(*refunds, *cancels)
    shop.pay(*refunds)
    shop.wait_status("succeeded", *refunds)
    shop.wait_status("pending", *cancels)
    headers = {"Authorization": f"Bearer {asyncio.run(make_key(shop.dsn))}", "Content-Type": "application/json"}
    for change, orders in (("refunds", refunds), ("cancel", cancels)):
        for order in orders:
            url = f"{after.url}/v1/payments/{name_of(order)}/{change}"
            assert ask(url, b"{}", {**headers, "Idempotency-Key": order})[0] in {200, 201, 202}
    shop.wait_status("canceled", *cancels)
    before.stop()
    assert run("maintain", env={"DB_DSN": shop.dsn}).returncode == 0
    eventually(lambda: shop.count("refunds", "status = 'succeeded'") == len(refunds), timeout_s=60)
    shop.wait_quiet(timeout_s=90)
    shop.check()
