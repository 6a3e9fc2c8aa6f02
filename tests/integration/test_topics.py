"""Test that topics are created once, and named when they are missing."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException

from payment_service.config.config import Config
from payment_service.contracts.records import ORDERS_CANCELLED, ORDERS_CREATED, TOPICS, topics_needed
from payment_service.kafka.topics import create_topics, missing_topics
from tests.support.eventually import eventually
from tests.support.kafka import admin
from tests.support.kafka import create_topics as create_by_hand
from tests.support.outbox import config_of


def config_for(broker: str) -> Config:
    """Return a configuration for a broker. No database is needed."""
    return config_of(
        {
            "DB_DSN": "postgresql://nobody@127.0.0.1:9/none",
            "KAFKA_BROKERS": broker,
            "KAFKA_TOPIC_PARTITIONS": "3",
            "STRIPE_SECRET_KEY": "sk_test_suite",
            "STRIPE_WEBHOOK_SECRET": "whsec_suite",
        }
    )


@pytest.mark.kafka
def test_missing_topics_are_created_and_existing_ones_kept(broker: str) -> None:
    """A second run creates nothing, an existing topic keeps its partitions, and checking creates none."""
    config = config_for(broker)
    needed = topics_needed(orders_cancelled=False)
    assert missing_topics(config, timeout_s=10) == list(needed)
    assert missing_topics(config, timeout_s=10) == list(needed)
    create_by_hand(broker, [ORDERS_CREATED], partitions=2)
    assert sorted(create_topics(config)) == sorted(set(needed) - {ORDERS_CREATED})
    with_cancelled = config.model_copy(update={"orders_cancelled": True})
    assert create_topics(with_cancelled) == [ORDERS_CANCELLED, f"{ORDERS_CANCELLED}.dlq"]
    assert create_topics(config) == []
    assert missing_topics(config, timeout_s=10) == []

    def made() -> dict[str, int]:
        listed = admin(broker).list_topics(timeout=10).topics
        return {name: len(listed[name].partitions) for name in TOPICS if name in listed}

    # A broker may confirm a topic before it lists it.
    eventually(lambda: len(made()) == len(TOPICS))
    assert made() == {name: 2 if name == ORDERS_CREATED else 3 for name in TOPICS}


def test_an_unreachable_broker_is_an_error() -> None:
    """Reporting no missing topics would be wrong, and reporting all as missing a false alarm."""
    with pytest.raises(KafkaException):
        missing_topics(config_for("127.0.0.1:9"), timeout_s=0.5)
