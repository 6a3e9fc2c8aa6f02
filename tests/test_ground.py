"""The test ground itself: what a fixture promises."""

from __future__ import annotations

import asyncpg
import psycopg
import pytest

from payment_service.contracts import records
from tests.support.databases import DatabaseServer, with_database
from tests.support.eventually import NeverHappenedError, eventually
from tests.support.kafka import DEAD_LETTERS, ORDERS, TOPICS, Topics, topic_names


async def test_a_database_is_real_and_empty(empty_database_dsn: str) -> None:
    """Both drivers take its URI."""
    connection = await asyncpg.connect(empty_database_dsn)
    assert await connection.fetchval("SELECT count(*) FROM pg_stat_user_tables") == 0
    await connection.close()
    with psycopg.connect(empty_database_dsn) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_copy_has_what_its_template_has_and_does_not_write_to_it(database: DatabaseServer) -> None:
    """What one test writes, no other test sees."""

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
def test_a_database_is_named_in_either_form_of_dsn(dsn: str, expected: str) -> None:
    """`TEST_DB_DSN` may be a URI or libpq's key=value form."""
    assert with_database(dsn, "b") == expected


@pytest.mark.kafka
def test_what_is_produced_is_read_back(topics: Topics) -> None:
    """Keys, headers, and values that are no JSON arrive as they were."""
    topics.produce([{"order_id": "a"}], key=lambda order: order["order_id"], headers={"h": "v"})
    topics.produce([b"\xff", None])
    records = topics.read_count(3, topics=[ORDERS, DEAD_LETTERS])
    assert {record.value for record in records} == {b'{"order_id": "a"}', b"\xff", None}
    [keyed] = [record for record in records if record.key]
    assert (keyed.key, keyed.header("h"), keyed.json()) == (b"a", "v", {"order_id": "a"})


@pytest.mark.kafka
def test_each_test_gets_a_broker_without_topics(broker: str) -> None:
    """Topic names are fixed, so the broker is what keeps tests apart."""
    assert topic_names(broker) == set()


def test_the_suite_knows_every_topic_of_the_service() -> None:
    """Their names are a contract with others, so they are written twice on purpose."""
    assert set(records.TOPICS) == set(TOPICS)


def test_what_never_happens_fails_with_what_was_last_seen() -> None:
    """A deadline that passes is a failed assertion, not a hang."""
    with pytest.raises(NeverHappenedError, match="last gave 0"):
        eventually(lambda: 0, timeout_s=0.01)


def test_a_migrated_database_has_the_schema_and_no_payment(database_dsn: str) -> None:
    """Each test starts from the schema of this version."""
    with psycopg.connect(database_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM payments").fetchone() == (0,)
