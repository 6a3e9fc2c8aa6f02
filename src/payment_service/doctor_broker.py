"""Checks of `doctor`: the broker, the topics, and orders that were deleted before the service read them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException

from payment_service.contracts.records import ORDERS_CANCELLED, ORDERS_CREATED, topics_needed
from payment_service.findings import Finding, Findings, Verdict
from payment_service.kafka.topics import topic_partitions
from payment_service.kafka.unread import deleted_unread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payment_service.config.config import Config

SUBJECT: Final = "orders"
TOPICS_TIMEOUT_S: Final = 5.0
TIMEOUT_S: Final = 2.0


async def check_broker(config: Config) -> Findings:
    """Connect to the broker and compare its topics with those that the service needs."""
    try:
        existing = await asyncio.to_thread(topic_partitions, config, TOPICS_TIMEOUT_S)
    except KafkaException as error:
        yield Finding(
            Verdict.FAILED,
            "broker",
            f"cannot connect: {error.args[0].str()}",
            "check KAFKA_BROKERS and that the broker runs",
        )
        return
    yield Finding(Verdict.OK, "broker", "answers")
    needed = topics_needed(orders_cancelled=config.orders_cancelled)
    missing = [name for name in needed if name not in existing]
    if missing:
        rules = "; if it exists, grant this user READ or WRITE by an ACL" if config.kafka_config else ""
        fix = f"run `payment-service topics create`{rules}"
        yield Finding(Verdict.FAILED, "topics", f"missing: {', '.join(missing)}", fix)
    narrow = [name for name in needed if 0 < existing.get(name, 0) < config.kafka_topic_partitions]
    if narrow:
        found = f"fewer than {config.kafka_topic_partitions} partitions: " + ", ".join(
            f"{name} {existing[name]}" for name in narrow
        )
        yield Finding(
            Verdict.WARNING,
            "topics",
            found,
            "plan the change: more partitions move keys to others and break the order of records",
        )
    if not missing and not narrow:
        yield Finding(Verdict.OK, "topics", f"all {len(needed)} exist")
    async for finding in _check_unread_orders(config, existing):
        yield finding


async def _check_unread_orders(config: Config, partitions: Mapping[str, int]) -> Findings:
    """Report each partition whose unread records are gone. `partitions` are those of all topics."""
    read = (ORDERS_CREATED, ORDERS_CANCELLED) if config.orders_cancelled else (ORDERS_CREATED,)
    wanted = {name: partitions[name] for name in read if name in partitions}
    try:
        skipped = await asyncio.to_thread(deleted_unread, config, wanted, TIMEOUT_S)
    except KafkaException as error:
        found = f"the positions of the group {config.kafka_group_id} cannot be read: {error.args[0].str()}"
        yield Finding(Verdict.WARNING, SUBJECT, found, "grant this user READ on the group")
        return
    for one in skipped:
        found = f"{one.topic}-{one.partition}: offsets {one.first} to {one.last} were deleted before they were read"
        yield Finding(Verdict.FAILED, SUBJECT, found, "let the shop send these orders again, and raise retention.ms")
    if not skipped:
        yield Finding(Verdict.OK, SUBJECT, "no unread record was deleted")
