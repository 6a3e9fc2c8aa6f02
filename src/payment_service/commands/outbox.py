"""`outbox`: show the state of publishing, and publish again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from payment_service.commands import output, session
from payment_service.config.config import ConfigError
from payment_service.contracts.operators import OutboxStatus, RefusingTopic, Republished
from payment_service.contracts.records import TOPICS
from payment_service.db import publishing
from payment_service.db.clock import database_time
from payment_service.db.publishing import Selection
from payment_service.flows.operators.republish import count_published
from payment_service.flows.operators.republish import republish as publish_again

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Pool


def show_status(*, as_json: bool) -> None:
    """Show how many records wait, since when and why, and which relay publishes."""
    status = session.run(_status)
    if as_json:
        output.print_json(status)
        return
    output.print_fields(status, *(name for name in OutboxStatus.model_fields if name != "refusing_topics"))
    fields = tuple(RefusingTopic.model_fields)
    rows = ([getattr(one, name) for name in fields] for one in status.refusing_topics)
    output.print_table("\nTopics that refuse records", fields, rows)


def republish(
    since: str, payment_id: UUID | None, topic: str | None, key: str, *, dry_run: bool, as_json: bool
) -> None:
    """Publish again the records since a time. Raises ConfigError, Refusal."""
    begin = session.read_time(since, datetime.now(UTC))
    if topic is not None and topic not in TOPICS:
        raise ConfigError(f"--topic takes one of: {', '.join(TOPICS)}.")
    asked = {"since": begin.isoformat(), "payment_id": payment_id and str(payment_id), "topic": topic}
    change_request = session.change_request("outbox.republish", asked, key=session.read_key(key), payment_id=payment_id)

    async def work(pool: Pool) -> int:
        now = await database_time(pool)
        chosen = Selection(since=begin, until=now, payment_id=payment_id, topic=topic)
        return await (count_published(pool, chosen) if dry_run else publish_again(pool, chosen, change_request))

    done = Republished(records=session.run(work), dry_run=dry_run)
    if not dry_run:
        output.print_note(
            f"--key {change_request.key} --since {begin.isoformat()} (repeat with these options to resume; no record is republished twice)"
        )
    if as_json:
        output.print_json(done)
        return
    output.print_note(
        f"{done.records} records {'would be' if dry_run else 'will be'} published again. Progress: payment-service outbox status"
    )


async def _status(pool: Pool) -> OutboxStatus:
    row = await publishing.status(pool)
    oldest = row["oldest_at"]
    return OutboxStatus(
        pending=row["pending"],
        oldest_at=oldest,
        lag_s=max(0, int((row["at"] - oldest).total_seconds())) if oldest else 0,
        refused_records=row["refused_records"],
        refusing_topics=[RefusingTopic(**topic) for topic in await publishing.refusing_topics(pool)],
        leader=row["holder"] if row["held"] else None,
        lease_epoch=row["epoch"],
    )
