"""What is told of the way to the brokers, from what the library says of it."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from payment_service.kafka.reach import FORGOTTEN_AFTER_S, Reach


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reach(clock: Clock) -> Reach:
    return Reach(clock)


def error(code: int, reason: str = "sasl_ssl://b:9093: no") -> KafkaError:
    return KafkaError(code, reason)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (KafkaError._AUTHENTICATION, "check KAFKA_CONFIG_SASL_… (sasl_ssl://b:9093: no)"),
        (KafkaError._SSL, "check KAFKA_CONFIG_SSL_… (sasl_ssl://b:9093: no)"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "give it READ"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "docs/deployment.md"),
    ],
)
def test_trouble_says_what_to_check_until_something_succeeds(reach: Reach, code: int, sentence: str) -> None:
    assert reach.trouble() == ""
    reach.failed(error(code))
    assert sentence in reach.trouble()
    assert "\n" not in reach.trouble()
    reach.works()
    assert reach.trouble() == ""


@pytest.mark.parametrize("why", [KafkaError._TRANSPORT, KafkaError._RESOLVE])
def test_no_broker_is_reached_where_all_are_down_and_connecting_fails(reach: Reach, why: int) -> None:
    """In whatever order the two are heard."""
    for first, second in ((why, KafkaError._ALL_BROKERS_DOWN), (KafkaError._ALL_BROKERS_DOWN, why)):
        reach.failed(error(first))
        assert reach.trouble() == ""
        reach.failed(error(second))
        assert reach.trouble() == "no broker is reached: check KAFKA_BROKERS and the network"
        reach.works()
        assert reach.trouble() == ""


def test_brokers_that_close_idle_connections_are_no_trouble(reach: Reach) -> None:
    """Apache Kafka does after ten minutes, and the library calls it "all brokers down"."""
    for _ in range(4):
        reach.failed(error(KafkaError._ALL_BROKERS_DOWN))
    assert reach.trouble() == ""


def test_that_all_are_down_hides_no_refusal_and_is_told_when_that_has_ended(reach: Reach, clock: Clock) -> None:
    """The library says it after every refusal."""
    reach.failed(error(KafkaError._AUTHENTICATION))
    clock.now = FORGOTTEN_AFTER_S - 1
    for code in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
        reach.failed(error(code))
    assert "login" in reach.trouble()
    clock.now = FORGOTTEN_AFTER_S
    assert "no broker is reached" in reach.trouble()


def test_what_is_not_heard_of_any_more_is_not_told_for_ever(reach: Reach, clock: Clock) -> None:
    reach.failed(error(KafkaError._SSL))
    clock.now = FORGOTTEN_AFTER_S
    assert reach.trouble() == ""


def test_one_broker_of_several_that_is_away_is_no_trouble(reach: Reach) -> None:
    reach.failed(error(KafkaError._TRANSPORT))
    reach.failed(error(KafkaError._TIMED_OUT))
    assert reach.trouble() == ""
