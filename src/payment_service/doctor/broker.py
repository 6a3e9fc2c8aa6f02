"""Checks of `doctor`: the broker, the topics, and orders that were deleted before the service read them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException

from payment_service.contracts.findings import Finding, Findings, Verdict
from payment_service.contracts.records import ORDERS_CANCELLED, ORDERS_CREATED, topics_needed
from payment_service.kafka.topic_findings import BATCH_LIMIT_BYTES, open_transactions, settings_of
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
    read = (ORDERS_CREATED, ORDERS_CANCELLED) if config.orders_cancelled else (ORDERS_CREATED,)
    wanted = {name: existing[name] for name in read if name in existing}
    for check in (_check_settings, _check_unread_orders, _check_transactions) if wanted else ():
        async for finding in check(config, wanted):
            yield finding


async def _check_settings(config: Config, wanted: Mapping[str, int]) -> Findings:
    """Report settings of the topics that can take the memory of a replica, or delete orders."""
    try:
        found = await asyncio.to_thread(settings_of, config, list(wanted), TIMEOUT_S)
    except (KafkaException, TimeoutError):
        yield Finding(Verdict.WARNING, "topics", "their settings cannot be read", "grant this user DESCRIBE_CONFIGS")
        return
    for topic, settings in found.items():
        limit = int(settings.get("max.message.bytes", BATCH_LIMIT_BYTES))
        if limit > BATCH_LIMIT_BYTES:
            problem = (
                f"{topic}: max.message.bytes is {limit}; one compressed batch can take a thousand times as much memory"
            )
            yield Finding(Verdict.WARNING, "topics", problem, f"set it to {BATCH_LIMIT_BYTES} or less")
        if "compact" in settings.get("cleanup.policy", ""):
            problem = f"{topic}: compaction deletes an order when a later record has its key"
            yield Finding(Verdict.WARNING, "topics", problem, "set cleanup.policy=delete")


async def _check_transactions(config: Config, wanted: Mapping[str, int]) -> Findings:
    """Report each partition in which records wait for a transaction. A transaction of now takes milliseconds."""
    try:
        found = await asyncio.to_thread(open_transactions, config, wanted, TIMEOUT_S)
    except (KafkaException, TimeoutError):
        return  # the broker has no transactions, or the check of the group has said what is wrong
    for one in found:
        problem = (
            f"{one.topic}-{one.partition}: {one.behind} offsets wait behind a transaction that is open at {one.offset}"
        )
        fix = "if it stays open, end it: kafka-transactions.sh find-hanging, then abort"
        yield Finding(Verdict.WARNING, SUBJECT, problem, fix)


async def _check_unread_orders(config: Config, wanted: Mapping[str, int]) -> Findings:
    """Report each partition whose unread records are gone."""
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
