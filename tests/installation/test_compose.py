"""compose.yaml: its commands and environments, run as processes with a real PostgreSQL, a broker and the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql

from payment_service.contracts.records import topics_needed
from payment_service_demo.embedded.postgres import EmbeddedPostgres
from tests.support.compose import SERVICES, Project
from tests.support.eventually import eventually
from tests.support.kafka import CANCELLED, CANCELLED_DEAD_LETTERS, Topics, create_topics, topic_names
from tests.support.sandbox import API_KEY, WEBHOOK_SECRET
from tests.support.service import services
from tests.support.shop import shops

JOBS: Final = ("credentials", "roles", "migrate", "topics")
LOGINS: Final = ("login-admin", "login-operator", "login-owner", "login-reader", "login-service")
WHO: Final = "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = 'payments' AND pid <> pg_backend_pid()"


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server for one test, since its roles have the names that compose.yaml gives them."""
    with EmbeddedPostgres(fsync=False) as server:
        yield server


@pytest.fixture
def project(postgres: EmbeddedPostgres, broker: str, tmp_path: Path) -> Project:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "stripe_secret_key").write_text(API_KEY)
    (secrets / "stripe_webhook_secret").write_text(WEBHOOK_SECRET)
    hosts = {"postgres:5432": f"127.0.0.1:{postgres.port}", "kafka:9092": broker}
    return Project(tmp_path, variables={"STRIPE_SECRETS": str(secrets)}, hosts=hosts)


def start_database(project: Project, postgres: EmbeddedPostgres) -> None:
    """Do what the PostgreSQL image does at its first start: create a superuser and a database."""
    given = project.environment("postgres")
    password = Path(given["POSTGRES_PASSWORD_FILE"]).read_text()
    user, database = sql.Identifier(given.get("POSTGRES_USER", "postgres")), sql.Identifier(given["POSTGRES_DB"])
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(user, sql.Literal(password)))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, user))


def up(project: Project, postgres: EmbeddedPostgres) -> None:
    """Run the jobs in the order in which they depend on one another, and assert that each succeeds."""
    for job in JOBS:
        result = project.run(job)
        assert result.returncode == 0, f"{job}: {result.stderr}"
        if job == "credentials" and not _database_exists(postgres):
            start_database(project, postgres)


def _database_exists(postgres: EmbeddedPostgres) -> bool:
    with psycopg.connect(postgres.dsn) as connection:
        return connection.execute("SELECT FROM pg_database WHERE datname = 'payments'").fetchone() is not None


@contextmanager
def session(project: Project, login: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Log in as compose's `admin`, `owner`, `service` or `reader`."""
    dsn = (project.volume(f"login-{login}") / "dsn").read_text()
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.mark.kafka
def test_compose_pays_an_order_with_each_part_under_its_own_role(
    project: Project, postgres: EmbeddedPostgres, broker: str, tmp_path: Path
) -> None:
    up(project, postgres)
    assert set(topic_names(broker)) == set(topics_needed(orders_cancelled=False))
    create_topics(broker, (CANCELLED, CANCELLED_DEAD_LETTERS))  # the checker reads these topics too
    owner = (project.volume("login-owner") / "dsn").read_text()
    with (
        services(project.environment("payment-service"), tmp_path) as start,
        shops(topics=Topics(broker), dsn=owner, start=start, folder=tmp_path) as shop,
    ):
        shop.serve()
        shop.order("o-1")
        shop.pay("o-1")
        shop.wait_status("succeeded")
        assert project.run("maintain").returncode == 7, "it runs once and then sleeps until the next day"
        shop.wait_quiet()
        shop.check()
        with session(project, "admin") as admin:
            # The test's shop reads as the owner, and disconnects between queries.
            eventually(lambda: admin.execute(WHO).fetchall() == [("payments_service",)])
            owners = admin.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
            assert owners == [("payments_owner",)]
        with session(project, "reader") as reader:
            assert reader.execute("SELECT status FROM payments_decimal").fetchall() == [("succeeded",)]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute("UPDATE payments SET amount = 1")


def test_a_second_start_keeps_passwords_and_replaces_a_lost_one(project: Project, postgres: EmbeddedPostgres) -> None:
    up(project, postgres)
    before = {name: (project.volume(name) / "password").read_text() for name in LOGINS}
    assert len(set(before.values())) == len(before)
    assert min(len(password) for password in before.values()) > 40
    (project.volume("login-service") / "password").unlink()
    up(project, postgres)
    after = {name: (project.volume(name) / "password").read_text() for name in LOGINS}
    assert [name for name in LOGINS if before[name] != after[name]] == ["login-service"]
    for login in ("admin", "owner", "service", "operator", "reader"):
        with session(project, login) as connection:
            connection.execute("SELECT")
    with session(project, "admin") as admin:
        supers = admin.execute("SELECT rolname FROM pg_roles WHERE rolsuper AND rolname LIKE 'payments_%'").fetchall()
        assert supers == []


def test_only_the_two_jobs_that_create_roles_get_several_logins() -> None:
    """Only these jobs and the server get the administrator's login."""
    given = {
        name: sorted(mount.partition(":")[0] for mount in service.get("volumes", []) if mount.startswith("login-"))
        for name, service in SERVICES.items()
    }
    assert {name: logins for name, logins in given.items() if logins} == {
        "payment-service": ["login-service"],
        "migrate": ["login-owner"],
        "maintain": ["login-owner"],
        "operator": ["login-operator"],
        "pages": ["login-operator"],
        "roles": list(LOGINS),
        "credentials": list(LOGINS),
        "postgres": ["login-admin"],
    }
