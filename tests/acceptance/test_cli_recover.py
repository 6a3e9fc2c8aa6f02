"""`recover` refuses what would lose a record or use a number twice, and changes nothing then."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from confluent_kafka import Consumer

from payment_service import exit_codes
from tests.support.command import assert_fails, run
from tests.support.eventually import eventually
from tests.support.kafka import ORDERS, Topics, admin

NOW = datetime.now(UTC)
BACKUP = (NOW - timedelta(minutes=10)).isoformat()

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def env(service_env: dict[str, str], database_dsn: str) -> dict[str, str]:
    """Return the environment of a service whose database belongs to the deployment `default`."""
    with psycopg.connect(database_dsn) as connection:
        connection.execute("INSERT INTO installation (id, deployment) VALUES (gen_random_uuid(), 'default')")
    return service_env


def assert_unchanged(dsn: str) -> None:
    """Assert that no recovery has begun."""
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM recovery").fetchone() == (0,)


def test_a_running_service_is_refused(env: dict[str, str], database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute(
            "INSERT INTO workers (id, host, pid, heartbeat_at) VALUES (gen_random_uuid(), 'h', 1, now() + interval '1 h')"
        )
    assert_fails(run("recover", "--to", BACKUP, env=env), exit_codes.NOT_NOW, "The service is running")
    assert_unchanged(database_dsn)


def test_the_database_of_another_deployment_is_refused(env: dict[str, str], database_dsn: str) -> None:
    refused = run("recover", "--to", BACKUP, env={**env, "DEPLOYMENT": "another"})
    assert_fails(refused, exit_codes.USAGE, "default")
    assert_unchanged(database_dsn)


def test_a_missing_topic_is_refused(env: dict[str, str], database_dsn: str, topics: Topics) -> None:
    """Its records would count as unpublished, so their numbers would be used again."""
    client = admin(topics.bootstrap_servers)  # keep a reference: a client that is garbage-collected fails its requests
    client.delete_topics(["payments.refunded"])["payments.refunded"].result(timeout=30)
    refused = run("recover", "--to", BACKUP, env=env)
    assert_fails(refused, exit_codes.NOT_NOW, "The broker does not have payments.refunded")
    assert_unchanged(database_dsn)


@pytest.mark.kafka
@pytest.mark.skipif(os.environ.get("TEST_KAFKA") != "apache", reason="the embedded broker lists no members of a group")
def test_a_consumer_group_with_a_member_is_refused(env: dict[str, str], database_dsn: str, topics: Topics) -> None:
    """A replica on another database, such as the lost one, still reads the orders: it would commit over what is set back."""
    session = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
    member = Consumer({"bootstrap.servers": topics.bootstrap_servers, "group.id": env["KAFKA_GROUP_ID"], **session})
    member.subscribe([ORDERS])

    def joined() -> bool:
        member.poll(0.1)
        return bool(member.assignment())

    try:
        eventually(joined, timeout_s=40)
        refused = run("recover", "--to", BACKUP, env=env)
    finally:
        member.close()
    assert_fails(refused, exit_codes.NOT_NOW, f"The consumer group {env['KAFKA_GROUP_ID']} has 1 members")
    assert_unchanged(database_dsn)


def test_a_time_in_the_future_is_refused(env: dict[str, str], database_dsn: str) -> None:
    refused = run("recover", "--to", (NOW + timedelta(days=1)).isoformat(), env=env)
    assert_fails(refused, exit_codes.USAGE, "--to takes a past time")
    assert_unchanged(database_dsn)
