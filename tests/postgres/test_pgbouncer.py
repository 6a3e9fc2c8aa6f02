"""PgBouncer before PostgreSQL: session mode works with all limits; other modes are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.postgres.conftest import shop_on
from tests.support.command import failed_check, run
from tests.support.kafka import Topics
from tests.support.system_postgres import PgBouncer, SystemPostgres

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]

# A line that many installations have. PgBouncer then drops these parameters instead of refusing the connection.
IGNORE: Final = "ignore_startup_parameters = extra_float_digits,options,lock_timeout,statement_timeout,search_path"


@pytest.mark.parametrize("extra", [(), (IGNORE,)], ids=["plain", "ignoring"])
def test_orders_pass_through_session_mode(
    server: SystemPostgres, topics: Topics, tmp_path: Path, extra: tuple[str, ...]
) -> None:
    with PgBouncer(server, "session", *extra) as bouncer:
        dsn = f"{bouncer.dsn('postgres')}?options=-c%20search_path%3Dpublic"
        with shop_on(dsn, direct=server.dsn, topics=topics, folder=tmp_path) as shop:
            service = shop.serve()
            shop.order("o-1", "o-2", "o-3")
            shop.pay("o-1", "o-2", "o-3")
            shop.wait_status("succeeded")
            shop.wait_quiet()
            assert not [line for line in service.logs() if line.get("level") == "error"]
            result = run("migrate", env={"DB_DSN": dsn})
            assert result.returncode == 0, result.stderr
            report = run("doctor", env=service.env)
            assert "and takes writes" in report.stdout, report.stdout
            shop.check()


def test_orders_pass_while_the_pooler_drops_connections(server: SystemPostgres, topics: Topics, tmp_path: Path) -> None:
    """It ends idle clients, replaces its connections to the server, and dies once."""
    drops = ("client_idle_timeout = 1", "server_idle_timeout = 1", "server_lifetime = 1")
    with (
        PgBouncer(server, "session", *drops) as bouncer,
        shop_on(bouncer.dsn("postgres"), direct=server.dsn, topics=topics, folder=tmp_path) as shop,
    ):
        service = shop.serve()
        for wave in range(6):
            orders = [f"o-{wave}-{number}" for number in range(5)]
            shop.order(*orders)
            shop.pay(*orders)
            if wave == 2:
                bouncer.kill_and_start()
        shop.wait_status("succeeded")
        shop.wait_quiet()
        assert service.running
        shop.check()


async def test_the_limits_hold_behind_session_mode(server: SystemPostgres) -> None:
    from payment_service.db.pool import open_pool  # noqa: PLC0415
    from tests.support.flows import config_for  # noqa: PLC0415

    with PgBouncer(server, "session", IGNORE) as bouncer:
        pool = await open_pool(config_for(bouncer.dsn("postgres"), "http://127.0.0.1:9"))
        query = (
            "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting('timezone')"
        )
        assert tuple(await pool.fetchrow(query) or ()) == ("1s", "10s", "UTC")
        pool.terminate()


@pytest.mark.parametrize(
    ("mode", "code", "named"), [("transaction", 3, "pool_mode = session"), ("statement", 1, "statement pooling mode")]
)
def test_another_mode_is_refused_by_name(
    server: SystemPostgres, topics: Topics, mode: str, code: int, named: str
) -> None:
    """Nothing is set in a session that other clients of the pooler use."""
    with PgBouncer(server, mode, IGNORE) as bouncer:
        dsn = bouncer.dsn("postgres")
        env = {"DB_DSN": dsn, "KAFKA_BROKERS": topics.bootstrap_servers, "STRIPE_SECRET_KEY": "sk_test_x12345"}
        env |= {"STRIPE_WEBHOOK_SECRET": "whsec_x123456789", "STRIPE_API_BASE": "http://127.0.0.1:9"}
        for command in ("serve", "migrate"):
            result = run(command, env=env)
            assert (result.returncode, result.stderr.count("\n")) == (code, 1), result.stderr
            assert named in result.stderr
        report = run("doctor", env=env)
        assert named in failed_check(report, "database")
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            assert admin.execute("SELECT count(*) FROM api_keys").fetchone() == (0,)
