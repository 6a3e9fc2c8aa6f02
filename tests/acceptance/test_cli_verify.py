"""`verify` as an operator runs it, with a real database and a real broker."""

from __future__ import annotations

import json

import psycopg
import pytest

from payment_service import exit_codes
from payment_service.contracts.operators import Verification
from tests.support.command import NOWHERE, assert_fails, done, run
from tests.support.flows import name_of
from tests.support.kafka import Topics

pytestmark = pytest.mark.timeout(300)

# A payment that no call will ever create at the provider.
PLANT = """
INSERT INTO payments (id, order_id, provider, amount, currency, order_topic, order_partition, order_offset)
VALUES (%s, 'o-1', 'stripe', 1990, 'eur', 'orders.created', 0, 1)
"""


@pytest.fixture
def env(service_dsn: str) -> dict[str, str]:
    return {"DB_DSN": service_dsn}


def plant(dsn: str) -> None:
    """Plant the payment under the id that the deployment derives for it."""
    with psycopg.connect(dsn) as connection:
        connection.execute(PLANT, (name_of("o-1"),))


def test_data_without_differences_exits_0(env: dict[str, str]) -> None:
    found = done(run("verify", "--json", env=env))
    assert found == Verification(data=[], has_more=False, topics=False).model_dump(mode="json")
    assert run("verify", env=env).stderr == "No differences.\n"


def test_a_difference_is_printed_with_its_code_and_the_next_step(env: dict[str, str]) -> None:
    plant(env["DB_DSN"])
    result = run("verify", "--json", env=env)
    assert result.returncode == exit_codes.DIFFERENCES, result.stderr
    [difference] = json.loads(result.stdout)["data"]
    assert (difference["code"], difference["sides"]) == ("create_missing", "rows")
    text = run("verify", env=env)
    assert text.returncode == exit_codes.DIFFERENCES
    assert all(difference[name] in text.stdout for name in ("code", "subject", "detail", "action"))


def test_topics_are_compared_on_request(env: dict[str, str], topics: Topics) -> None:
    broker = {"KAFKA_BROKERS": topics.bootstrap_servers}
    assert done(run("verify", "--topics", "--json", env={**env, **broker}))["topics"] is True
    topics.produce([b"{}"], topic="payments.succeeded")
    result = run("verify", "--topics", "--json", env={**env, **broker})
    assert result.returncode == exit_codes.DIFFERENCES, result.stderr
    assert [one["code"] for one in json.loads(result.stdout)["data"]] == ["published_record_foreign"]


def test_a_comparison_that_cannot_look_exits_with_another_code(env: dict[str, str]) -> None:
    plant(env["DB_DSN"])
    assert_fails(run("verify", "--topics", env={**env, "KAFKA_BROKERS": "127.0.0.1:9"}), exit_codes.FAILED, "Kafka")
    assert_fails(run("verify", env={"DB_DSN": NOWHERE}), exit_codes.FAILED, "PostgreSQL")


@pytest.mark.parametrize(
    ("arguments", "sentence"), [(("--since", "yesterday"), "--since takes"), (("--topics",), "KAFKA_BROKERS")]
)
def test_invalid_arguments_are_rejected_with_one_line(
    env: dict[str, str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert_fails(run("verify", *arguments, env=env), exit_codes.USAGE, sentence)
