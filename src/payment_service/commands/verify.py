"""`verify`: compare our rows with each other, and published records with the outbox."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from payment_service import exit_codes
from payment_service.commands import output, session
from payment_service.commands.settings import CommandSettings
from payment_service.config.config import ConfigError
from payment_service.contracts.operators import FoundDifference, Verification
from payment_service.domain.consistency import RECORD_ACTIONS, ROW_ACTIONS
from payment_service.flows.comparisons.rows import compare_rows
from payment_service.flows.comparisons.topics import compare_topics
from payment_service.kafka.published_records import PublishedRecords

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from payment_service.db.pool import Pool
    from payment_service.domain.differences import Difference

# About 5 MB. More differences of one kind have one cause.
SHOWN_MAX: Final = 10_000
_ACTIONS: Final = {**ROW_ACTIONS, **RECORD_ACTIONS}
_COLUMNS: Final = ("code", "subject", "payment_id", "detail", "action")


def verify(since: str, *, topics: bool, as_json: bool) -> int:
    """Print each difference with the next step. Return the exit code. Raises ConfigError, KafkaException."""
    settings = CommandSettings.from_environment()
    if topics and "kafka_brokers" not in settings.model_fields_set:
        raise ConfigError("KAFKA_BROKERS is not set: --topics reads the records.")
    begin = session.read_time(since, datetime.now(UTC)) if since else None
    # librdkafka would log each attempt; the exception reports the error once.
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)

    async def work(pool: Pool) -> Verification:
        await session.require_deployment(pool, settings.deployment)
        if not topics:
            return await _collect(compare_rows(pool, since=begin), topics=False)
        # Connect first: without the broker, nothing is compared.
        async with PublishedRecords(settings) as reader:
            rows = compare_rows(pool, since=begin)
            records = compare_topics(pool, reader, deployment=settings.deployment, since=begin)
            return await _collect(rows, records, topics=True)

    found = session.run(work, settings)
    _print(found, as_json=as_json)
    return exit_codes.DIFFERENCES if found.data else exit_codes.DONE


async def _collect(*comparisons: AsyncIterator[Difference], topics: bool) -> Verification:
    shown: list[FoundDifference] = []
    for comparison in comparisons:
        async for one in comparison:
            if len(shown) == SHOWN_MAX:
                return Verification(data=shown, has_more=True, topics=topics)
            shown.append(
                FoundDifference(
                    sides=one.sides,
                    code=one.code,
                    subject=one.subject,
                    payment_id=one.payment_id,
                    detail=one.detail,
                    action=_ACTIONS[one.code],
                )
            )
    return Verification(data=shown, has_more=False, topics=topics)


def _print(found: Verification, *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    output.print_table("Differences", _COLUMNS, ([getattr(one, name) for name in _COLUMNS] for one in found.data))
    if found.has_more:
        output.print_note(
            f"There are more than {SHOWN_MAX} differences: correct these first, then run the command again."
        )
    elif not found.data:
        output.print_note("No differences.")
