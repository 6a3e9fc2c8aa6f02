"""The broker status follows the errors that librdkafka reports."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from payment_service.kafka.broker_status import FORGOTTEN_AFTER_S, BrokerStatus


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker_status(clock: Clock) -> BrokerStatus:
    return BrokerStatus(clock)


def error(code: int, reason: str = "sasl_ssl://b:9093: no") -> KafkaError:
    return KafkaError(code, reason)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (KafkaError._AUTHENTICATION, "check KAFKA_CONFIG_SASL_… (sasl_ssl://b:9093: no)"),
        (KafkaError._SSL, "check KAFKA_CONFIG_SSL_… (sasl_ssl://b:9093: no)"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "grant READ"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "docs/deployment.md"),
    ],
)
def test_trouble_states_what_to_check_until_a_call_succeeds(
    broker_status: BrokerStatus, code: int, sentence: str
) -> None:
    assert broker_status.problem() == ""
    broker_status.record_error(error(code))
    assert sentence in broker_status.problem()
    assert "\n" not in broker_status.problem()
    broker_status.record_success()
    assert broker_status.problem() == ""


@pytest.mark.parametrize("reason", [KafkaError._TRANSPORT, KafkaError._RESOLVE])
def test_all_brokers_down_plus_a_connection_error_means_unreachable(broker_status: BrokerStatus, reason: int) -> None:
    """The two errors arrive in either order."""
    for first, second in ((reason, KafkaError._ALL_BROKERS_DOWN), (KafkaError._ALL_BROKERS_DOWN, reason)):
        broker_status.record_error(error(first))
        assert broker_status.problem() == ""
        broker_status.record_error(error(second))
        assert broker_status.problem() == "no broker can be reached: check KAFKA_BROKERS and the network"
        broker_status.record_success()
        assert broker_status.problem() == ""


def test_closed_idle_connections_are_no_trouble(broker_status: BrokerStatus) -> None:
    """Apache Kafka closes them after ten minutes, and librdkafka reports "all brokers down"."""
    for _ in range(4):
        broker_status.record_error(error(KafkaError._ALL_BROKERS_DOWN))
    assert broker_status.problem() == ""


def test_a_refusal_outranks_all_brokers_down_until_it_expires(broker_status: BrokerStatus, clock: Clock) -> None:
    """librdkafka reports "all brokers down" after every refusal."""
    broker_status.record_error(error(KafkaError._AUTHENTICATION))
    clock.now = FORGOTTEN_AFTER_S - 1
    for code in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
        broker_status.record_error(error(code))
    assert "login" in broker_status.problem()
    clock.now = FORGOTTEN_AFTER_S
    assert "no broker can be reached" in broker_status.problem()


def test_an_error_that_does_not_recur_expires(broker_status: BrokerStatus, clock: Clock) -> None:
    broker_status.record_error(error(KafkaError._SSL))
    clock.now = FORGOTTEN_AFTER_S
    assert broker_status.problem() == ""


def test_one_unreachable_broker_of_several_is_no_trouble(broker_status: BrokerStatus) -> None:
    broker_status.record_error(error(KafkaError._TRANSPORT))
    broker_status.record_error(error(KafkaError._TIMED_OUT))
    assert broker_status.problem() == ""
