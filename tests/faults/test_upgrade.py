"""Test an upgrade under load: apply a later revision, start new replicas, then stop the old ones."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Self

import asyncpg
import pytest

from payment_service.db import api_keys
from payment_service.db.migrate import migrate
from tests.support.eventually import eventually
from tests.support.flows import name_of
from tests.support.migrations import AFTER, BEFORE, with_example
from tests.support.service import ServiceProcess
from tests.support.shop import Shop, ask

pytestmark = [pytest.mark.timeout(180), pytest.mark.kafka]


class Customers:
    """Place, pay and read orders in a loop until the context exits."""

    def __init__(self, shop: Shop, key: str) -> None:
        self.replicas: list[ServiceProcess] = []
        self.orders: list[str] = []
        self.answers: Counter[int | str] = Counter()
        self._shop = shop
        self._headers = {"Authorization": f"Bearer {key}"}
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._buy_repeatedly)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def wait_for_more(self, orders: int) -> None:
        """Wait until this many more orders are paid and read."""
        wanted = len(self.orders) + orders
        eventually(lambda: len(self.orders) >= wanted, timeout_s=60)

    def _buy_repeatedly(self) -> None:
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


async def make_key(dsn: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        return await api_keys.create(connection, client="shop", scopes=["read", "refund"])
    finally:
        await connection.close()


def join(shop: Shop) -> ServiceProcess:
    """Start a replica and wait until it reads orders.

    The embedded broker forgets a member that joins during another rebalance.
    """
    replica = shop.serve_beside(DB_DSN=shop.dsn)
    replica.wait_for_log("partitions_assigned", timeout_s=30)
    return replica


def create_payments_in_every_state(shop: Shop) -> None:
    """Create payments in every state."""
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
def test_migrating_and_replacing_replicas_under_load_fails_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """No order is lost, no charge is made twice, no request fails, and no record is out of order."""
    before = [join(shop), join(shop)]
    shop.sandbox.set_webhook(shop.webhook_url(before[0]))
    create_payments_in_every_state(shop)
    with Customers(shop, asyncio.run(make_key(shop.dsn))) as customers:
        customers.replicas = before
        customers.wait_for_more(20)
        with_example(monkeypatch)
        lines: list[str] = []
        migrate(shop.dsn, report=lines.append)
        assert lines[0] == f"schema migrated from revision {BEFORE} to {AFTER}"
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
    shop.wait_status("succeeded", "paid", "given-back", *customers.orders)
    shop.wait_quiet()
    evidence = shop.check()
    assert set(customers.answers) == {200}
    refunded = {row["order_id"]: row["refunded"] for row in evidence.tables["payments"] if row["refunded"]}
    assert refunded == {"given-back": 500}
