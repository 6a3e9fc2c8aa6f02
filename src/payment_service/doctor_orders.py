"""Check of `doctor`: records of orders that the broker deleted before the service read them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException

from payment_service.contracts.records import ORDERS_CANCELLED, ORDERS_CREATED
from payment_service.findings import Finding, Findings, Verdict
from payment_service.kafka.unread import deleted_unread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payment_service.config.config import Config

SUBJECT: Final = "orders"
TIMEOUT_S: Final = 2.0


async def check_unread_orders(config: Config, partitions: Mapping[str, int]) -> Findings:
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
