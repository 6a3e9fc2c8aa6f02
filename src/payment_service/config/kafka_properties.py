"""librdkafka properties from the environment: `KAFKA_CONFIG_SSL_CA_LOCATION` sets `ssl.ca.location`.

Properties that guarantees depend on cannot be set. Unknown properties and invalid values are reported before anything
starts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

PREFIX: Final = "KAFKA_CONFIG_"
MASK_LENGTH_MIN: Final = 6  # of a value that is masked everywhere, and not only in quotes

_BROKERS: Final = "set KAFKA_BROKERS instead"
_LOSS: Final = "the service commits offsets itself, after the orders are durable"
_ORDER: Final = "changing it loses, duplicates or reorders records"
_OWN: Final = "it must match the service's timeouts"
_MEMORY: Final = "the service bounds its memory by it"
# The reason why each property cannot be set.
REFUSED: Final[Mapping[str, str]] = {
    "bootstrap.servers": _BROKERS,
    "metadata.broker.list": _BROKERS,
    "client.id": "set KAFKA_CLIENT_ID instead",
    "group.id": "set KAFKA_GROUP_ID instead",
    "session.timeout.ms": "set KAFKA_SESSION_TIMEOUT_MS instead",
    "heartbeat.interval.ms": "it derives from KAFKA_SESSION_TIMEOUT_MS",
    "group.instance.id": "all replicas would share it",
    "group.protocol": "the service is tested with its own assignment strategy",
    "partition.assignment.strategy": "replicas with different values cannot join one group",
    "enable.auto.commit": _LOSS,
    "enable.auto.offset.store": _LOSS,
    "auto.commit.enable": _LOSS,
    "auto.offset.reset": "a new group must read orders from the beginning, so that none is skipped",
    "acks": _ORDER,
    "request.required.acks": _ORDER,
    "enable.idempotence": _ORDER,
    "transactional.id": "records are published at least once and deduplicated by ce_id",
    "max.in.flight": _ORDER,
    "max.in.flight.requests.per.connection": _ORDER,
    "partitioner": "a payment's records would go to other partitions than before",
    "message.timeout.ms": _OWN,
    "delivery.timeout.ms": _OWN,
    "request.timeout.ms": _OWN,
    "linger.ms": _OWN,
    "queue.buffering.max.ms": _OWN,
    "socket.timeout.ms": _OWN,
    "fetch.wait.max.ms": _OWN,
    "reconnect.backoff.max.ms": _OWN,
    "topic.metadata.propagation.max.ms": _OWN,
    "topic.metadata.refresh.interval.ms": "a new partition must be read within a minute",
    "batch.size": _MEMORY,
    "queue.buffering.max.kbytes": _MEMORY,
    "fetch.max.bytes": _MEMORY,
    "max.partition.fetch.bytes": _MEMORY,
    "fetch.message.max.bytes": _MEMORY,
    "receive.message.max.bytes": _MEMORY,
    "queued.max.messages.kbytes": _MEMORY,
    "queued.min.messages": _MEMORY,
    "enable.partition.eof": "only so the service knows that it has read everything",
    "check.crcs": "a damaged record must not become an order",
    "log_level": "set LOG_LEVEL instead",
    "plugin.library.paths": "it would load foreign code into the service",
}


def property_name(variable: str) -> str:
    """Return the property that a variable sets."""
    name = variable.removeprefix(PREFIX).lower()
    return name if name == "log_level" else name.replace("_", ".")


def variable_name(name: str) -> str:
    """Return the variable that sets a property."""
    return PREFIX + name.upper().replace(".", "_")


def unusable_reason(properties: Mapping[str, str]) -> str:
    """Return one sentence that names an unusable property and the reason, without its value; empty if all are usable."""
    for name in properties:
        if name in REFUSED:
            return f"{variable_name(name)} cannot be set: {REFUSED[name]}"
    from confluent_kafka import KafkaException  # noqa: PLC0415 - most commands need no client of Kafka
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    try:
        AdminClient({**properties, "log_level": 0})  # without brokers: the client is created and connects to nothing
    except KafkaException as error:
        return f"KAFKA_CONFIG_… cannot be used: {_without_values(error.args[0].str(), properties.values())}"
    return ""


def _without_values(text: str, values: Collection[str]) -> str:
    for value in sorted(values, key=len, reverse=True):
        # A short value may be part of an ordinary word.
        text = text.replace(f'"{value}"', '"…"')
        text = text.replace(value, "…") if len(value) >= MASK_LENGTH_MIN else text
    return " ".join(text.split())
