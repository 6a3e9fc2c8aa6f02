"""Guarantees of the fixtures."""

from __future__ import annotations

import asyncpg
import psycopg
import pytest

from payment_service.contracts import records
from tests.support.databases import DatabaseServer, with_database
from tests.support.eventually import NeverHappenedError, eventually
from tests.support.kafka import DEAD_LETTERS, ORDERS, TOPICS, Topics, topic_names


async def test_a_new_database_is_real_and_empty(empty_database_dsn: str) -> None:
    """Both drivers accept its URI."""
    connection = await asyncpg.connect(empty_database_dsn)
    assert await connection.fetchval("SELECT count(*) FROM pg_stat_user_tables") == 0
    await connection.close()
    with psycopg.connect(empty_database_dsn) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_database_copy_is_independent_of_its_template(database: DatabaseServer) -> None:
    """No test sees the writes of another test."""

    def prepare(dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE t (n int)")

    with database.template(prepare) as template:
        for _ in range(2):
            with database.database(template) as dsn, psycopg.connect(dsn) as connection:
                assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
                connection.execute("INSERT INTO t VALUES (1)")


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("postgresql://u:p%40ss@h:1/a", "postgresql://u:p%40ss@h:1/b"),
        ("host=h port=1 user=u dbname=a", "postgresql://u@h:1/b"),
        ("host=/run/pg user=u", "postgresql://u@/b?host=%2Frun%2Fpg"),
    ],
)
def test_a_database_is_replaced_in_both_forms_of_dsn(dsn: str, expected: str) -> None:
    """`TEST_DB_DSN` may be a URI or libpq's key=value form."""
    assert with_database(dsn, "b") == expected


@pytest.mark.kafka
def test_produced_records_are_read_back(topics: Topics) -> None:
    """Keys, headers, and values that are no JSON arrive unchanged."""
    topics.produce([{"order_id": "a"}], key=lambda order: order["order_id"], headers={"h": "v"})
    topics.produce([b"\xff", None])
    records = topics.read_count(3, topics=[ORDERS, DEAD_LETTERS])
    assert {record.value for record in records} == {b'{"order_id": "a"}', b"\xff", None}
    [keyed] = [record for record in records if record.key]
    assert (keyed.key, keyed.header("h"), keyed.json()) == (b"a", "v", {"order_id": "a"})


@pytest.mark.kafka
def test_each_test_gets_a_broker_without_topics(broker: str) -> None:
    """Topic names are fixed, so each test needs a broker of its own."""
    assert topic_names(broker) == set()


def test_the_suite_lists_every_topic_of_the_service() -> None:
    """The names are a contract with other teams, so they are written twice on purpose."""
    assert set(records.TOPICS) == set(TOPICS)


def test_a_timeout_fails_with_the_last_value() -> None:
    """A deadline that passes is a failed assertion, not a hang."""
    with pytest.raises(NeverHappenedError, match="last gave 0"):
        eventually(lambda: 0, timeout_s=0.01)


def test_a_migrated_database_has_the_schema_and_no_payment(database_dsn: str) -> None:
    """Each test starts from the current schema."""
    with psycopg.connect(database_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM payments").fetchone() == (0,)
