"""A standby is promoted while orders and reads continue: the service follows it, wherever the old primary is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.postgres.conftest import shop_on
from tests.support.command import failed_check, run
from tests.support.eventually import eventually
from tests.support.kafka import Topics
from tests.support.service import ServiceProcess
from tests.support.shop import Shop, ask
from tests.support.system_postgres import SystemPostgres

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]

RESUMED_WITHIN_S: Final = 10.0


@dataclass
class Pair:
    """A primary and its hot standby."""

    primary: SystemPostgres
    standby: SystemPostgres

    def dsn(self) -> str:
        """Name both, the standby first."""
        return f"postgresql://postgres@{self.standby.address},{self.primary.address}/postgres"


@pytest.fixture
def pair(server: SystemPostgres) -> Iterator[Pair]:
    standby = server.standby()
    try:
        yield Pair(server, standby)
    finally:
        standby.stop()


@pytest.fixture
def shop(pair: Pair, topics: Topics, tmp_path: Path) -> Iterator[Shop]:
    with shop_on(pair.dsn(), direct=pair.primary.dsn, topics=topics, folder=tmp_path) as opened:
        yield opened


def read_only(pair: Pair) -> None:
    """The old primary answers, and refuses writes, as one whose fail-over an operator or a platform began."""
    pair.primary.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")


def killed(pair: Pair) -> None:
    pair.primary.kill()


def shut_down(pair: Pair) -> None:
    """A fast shutdown ends each session with 57P01."""
    pair.primary.stop()


@pytest.mark.parametrize("leave", [read_only, killed, shut_down])
def test_orders_continue_on_the_promoted_standby(shop: Shop, pair: Pair, leave: Callable[[Pair], None]) -> None:
    service = shop.serve()
    shop.order("before")
    shop.wait_status("pending", "before")
    leave(pair)
    shop.order("between")
    pair.standby.promote()
    shop.dsn = pair.standby.dsn
    shop.wait_status("pending", "between", timeout_s=RESUMED_WITHIN_S)
    eventually(service.ready, timeout_s=RESUMED_WITHIN_S)
    shop.order("after")
    shop.pay("after")
    shop.wait_status("succeeded", "after", timeout_s=RESUMED_WITHIN_S)


def test_reads_follow_the_writes_and_do_not_show_old_data(shop: Shop, pair: Pair) -> None:
    """A process that only serves HTTP writes nothing by itself, and the old primary answers its reads."""
    service = shop.serve("http")
    key = run("keys", "create", "--client", "reader", "--scope", "read", env={"DB_DSN": pair.dsn()}).stdout.split()[-1]
    assert listed(service, key) == []
    read_only(pair)
    pair.standby.promote()
    pair.standby.execute(PAYMENT)
    eventually(lambda: listed(service, key) == ["written-later"], timeout_s=RESUMED_WITHIN_S)


def test_a_server_without_writes_is_named_until_it_is_promoted(shop: Shop, pair: Pair) -> None:
    """Without a primary, commands and `/ready` say why. The running process recovers by itself."""
    service = shop.serve()
    read_only(pair)
    eventually(lambda: "read-only" in database_check(service), timeout_s=RESUMED_WITHIN_S)
    assert ask(f"{service.url}/health")[0] == 200
    env = {**service.env, "DB_DSN": pair.standby.dsn}
    for command in ("serve", "migrate"):
        result = run(command, env=env)
        assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
        assert "accepts writes" in result.stderr
    report = run("doctor", env=env)
    assert "accepts writes" in failed_check(report, "database")
    pair.standby.promote()
    eventually(lambda: database_check(service) == "ok", timeout_s=RESUMED_WITHIN_S)


PAYMENT: Final = """
INSERT INTO payments (id, order_id, provider, amount, currency, order_topic, order_partition, order_offset)
VALUES (gen_random_uuid(), 'written-later', 'stripe', 100, 'eur', 'orders.created', 0, 0)
"""


def database_check(service: ServiceProcess) -> str:
    return str(json.loads(ask(f"{service.url}/ready")[1])["checks"]["database"])


def listed(service: ServiceProcess, key: str) -> list[str]:
    status, text = ask(f"{service.url}/v1/payments", None, {"Authorization": f"Bearer {key}"})
    assert status in {200, 503}, text
    return [one["order_id"] for one in json.loads(text)["data"]] if status == 200 else ["unavailable"]
