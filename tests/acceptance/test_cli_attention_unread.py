"""`attention retry` of a record that was set aside unread: it is read again from its topic."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from payment_service.domain.ids import payment_id
from payment_service.kafka.topic_ids import TopicIds
from tests.support.bombs import bomb
from tests.support.command import assert_fails, done, run
from tests.support.consumer import order
from tests.support.kafka import ORDERS, Topics
from tests.support.outbox import config_of

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

INSERT = """
INSERT INTO quarantine (id, source, record_topic, record_partition, record_offset, reason, detail, record_headers)
VALUES (%s, 'kafka', 'orders.created', 0, %s, 'unreadable', 'reason', %s)
"""


def set_aside(dsn: str, offset: int, headers: str = "[]") -> str:
    """Insert a row as the consumer does for a record that it did not read."""
    name = uuid4()
    with psycopg.connect(dsn) as connection:
        connection.execute(INSERT, (name, offset, headers))
    return str(name)


def test_a_good_order_is_accepted_from_the_topic(service_env: dict[str, str], topics: Topics) -> None:
    topics.produce([order(1), order(2)], partition=0)
    name = set_aside(service_env["DB_DSN"], 1)
    answer = done(run("attention", "retry", name, "--yes", "--json", env=service_env))
    assert (answer["done"], answer["payment_id"]) == ("accepted", str(payment_id("default", "o-2", 1)))
    with psycopg.connect(service_env["DB_DSN"]) as connection:
        rows = connection.execute("SELECT order_id, order_partition, order_offset FROM payments").fetchall()
    assert rows == [("o-2", 0, 1)]


@pytest.mark.parametrize(("offset", "sentence"), [(0, "cannot be read"), (1, "not_an_object"), (9, "cannot be read")])
def test_a_record_that_is_unreadable_bad_or_gone_stays(
    service_env: dict[str, str], topics: Topics, offset: int, sentence: str
) -> None:
    bomb(topics, "zstd")
    topics.produce([[]], partition=0)
    name = set_aside(service_env["DB_DSN"], offset)
    assert_fails(run("attention", "retry", name, "--yes", env=service_env), 1, sentence)
    with psycopg.connect(service_env["DB_DSN"]) as connection:
        assert connection.execute("SELECT count(*) FROM quarantine WHERE replayed_at IS NULL").fetchone() == (1,)


def test_a_record_of_a_topic_that_was_created_again_is_not_confused(
    service_env: dict[str, str], topics: Topics
) -> None:
    """Another record has its offset now."""
    if not TopicIds(config_of(service_env), [ORDERS]).ask():
        pytest.skip("this broker has no ids of topics")
    topics.produce([order(1)], partition=0)
    name = set_aside(service_env["DB_DSN"], 0, '[["topic_id", "another-id"]]')
    assert_fails(run("attention", "retry", name, "--yes", env=service_env), 1, "created again")


def test_without_a_broker_the_command_says_what_is_missing(service_env: dict[str, str]) -> None:
    name = set_aside(service_env["DB_DSN"], 0)
    env = {key: value for key, value in service_env.items() if key != "KAFKA_BROKERS"}
    assert_fails(run("attention", "retry", name, "--yes", env=env), 2, "KAFKA_BROKERS")
