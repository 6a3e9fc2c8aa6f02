"""Read a record that was set aside unread from its topic, for `attention retry`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from payment_service.config.config import ConfigError
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.kafka.isolated_reads import IsolatedReads

if TYPE_CHECKING:
    from payment_service.commands.settings import CommandSettings
    from payment_service.contracts.incoming import InboundRecord
    from payment_service.db.quarantine import QuarantinedRecord


async def read_unread(settings: CommandSettings, row: QuarantinedRecord) -> InboundRecord:
    """Return the record of a row. Raise ConfigError without a broker, and Refusal if the record cannot be read."""
    if "kafka_brokers" not in settings.model_fields_set:
        raise ConfigError("KAFKA_BROKERS is not set: the record is read again from its topic.")
    reads = IsolatedReads(settings, row.topic or "", row.partition or 0)
    record = await asyncio.to_thread(reads.read_one, row.offset or 0)
    if record is None:
        raise Refusal(
            RefusalReason.NOT_ALLOWED,
            "The record cannot be read: it is not in the topic any more, takes too much memory, or no broker answers. "
            "Ask the sender to repeat the order, then close this item with `attention resolve`.",
        )
    return record
