"""Any property of librdkafka by the environment: `KAFKA_CONFIG_SSL_CA_LOCATION` is `ssl.ca.location`. What our guarantees
rest on can't be set, and what librdkafka does not know, or can't use, is told before anything starts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

PREFIX: Final = "KAFKA_CONFIG_"
TELLING_LENGTH: Final = 6  # of a value that is masked wherever it stands, not in quotes alone

_BROKERS: Final = "set KAFKA_BROKERS"
_LOSS: Final = "offsets are committed by the service, after their orders are durable, and in no other way"
_ORDER: Final = "without it records are lost, doubled or overtaken"
_OWN: Final = "the service has chosen it with its time limits"
# Why each can't be set.
REFUSED: Final[Mapping[str, str]] = {
    "bootstrap.servers": _BROKERS,
    "metadata.broker.list": _BROKERS,
    "client.id": "set KAFKA_CLIENT_ID",
    "group.id": "set KAFKA_GROUP_ID",
    "session.timeout.ms": "set KAFKA_SESSION_TIMEOUT_MS",
    "heartbeat.interval.ms": "it follows KAFKA_SESSION_TIMEOUT_MS",
    "group.instance.id": "two replicas would have the same one",
    "group.protocol": "the group's protocol is tested with the assignment that the service asks for",
    "partition.assignment.strategy": "replicas that differ in it can't be in one group",
    "enable.auto.commit": _LOSS,
    "enable.auto.offset.store": _LOSS,
    "auto.commit.enable": _LOSS,
    "auto.offset.reset": "a new group reads orders from the beginning, so that none is passed over",
    "acks": _ORDER,
    "request.required.acks": _ORDER,
    "enable.idempotence": _ORDER,
    "transactional.id": "records are published at least once, and known by their ce_id",
    "max.in.flight": _ORDER,
    "max.in.flight.requests.per.connection": _ORDER,
    "partitioner": "a payment's records would go to other partitions than before",
    "message.timeout.ms": _OWN,
    "delivery.timeout.ms": _OWN,
    "request.timeout.ms": _OWN,
    "linger.ms": _OWN,
    "queue.buffering.max.ms": _OWN,
    "plugin.library.paths": "it would load other code into the service",
}


def property_of(variable: str) -> str:
    """Give the property that a variable sets."""
    return variable.removeprefix(PREFIX).lower().replace("_", ".")


def variable_of(name: str) -> str:
    """Give the variable that sets a property."""
    return PREFIX + name.upper().replace(".", "_")


def why_refused(properties: Mapping[str, str]) -> str:
    """Say in one sentence which of these can't be used, and why, without any value; nothing: empty."""
    for name in properties:
        if name in REFUSED:
            return f"{variable_of(name)} can't be set: {REFUSED[name]}"
    from confluent_kafka import KafkaException  # noqa: PLC0415 - most commands need no client of Kafka
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    try:
        AdminClient({**properties, "log_level": 0})  # without brokers: it is made, and reaches nobody
    except KafkaException as error:
        return f"KAFKA_CONFIG_… can't be used: {_without_values(error.args[0].str(), properties.values())}"
    return ""


def _without_values(text: str, values: Collection[str]) -> str:
    for value in sorted(values, key=len, reverse=True):
        # A short one by itself may be a part of a word.
        text = text.replace(f'"{value}"', '"…"')
        text = text.replace(value, "…") if len(value) >= TELLING_LENGTH else text
    return " ".join(text.split())
