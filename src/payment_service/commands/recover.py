"""`recover`: bring a restored backup up to date with the provider and the topics."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from payment_service import exit_codes
from payment_service.commands import operator, output, session
from payment_service.config.config import Config
from payment_service.contracts.operators import OffsetSetBack, RecoveryReport
from payment_service.crash_points import reached
from payment_service.db import audit, recovery
from payment_service.flows.operators.recover import Recovery
from payment_service.flows.state.context import Context
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.kafka import recovery as topics
from payment_service.kafka.topics import LIST_TIMEOUT_S, missing_topics

if TYPE_CHECKING:
    from payment_service.db.pool import Pool
    from payment_service.kafka.recovery import OffsetChange


def recover(to: str, *, dry_run: bool, as_json: bool) -> int:
    """Recover, print what was done, and return the exit code. Raises ConfigError, Refusal, and errors of Kafka."""
    config = Config.from_environment()
    restored_to = session.read_time(to, datetime.now(UTC), option="--to")
    report = session.run(lambda pool: _recover(config, pool, restored_to, dry_run=dry_run), config)
    if as_json:
        output.print_json(report)
    else:
        output.print_fields(report, *(name for name in RecoveryReport.model_fields if name != "offsets"))
        fields = tuple(OffsetSetBack.model_fields)
        output.print_table("\nOffsets", fields, ([getattr(one, name) for name in fields] for one in report.offsets))
    return exit_codes.FAILED if report.open else exit_codes.DONE


async def _recover(config: Config, pool: Pool, restored_to: datetime, *, dry_run: bool) -> RecoveryReport:
    await session.require_deployment(pool, config.deployment)
    clock = await session.measured_clock(pool)
    async with session.open_for_requests(config, pool, clock) as providers:
        context = Context(pool=pool, providers=providers, deployment=config.deployment, now=clock.now)
        await _require_stopped(config, context, restored_to)
        if not dry_run:
            operator.actor()  # may ask, so before anything is changed
            restored_to = await recovery.begin(pool, restored_to)
            await _audit(pool, "recover.begin", restored_to)
        steps = Recovery(context, restored_to, rate_per_s=config.provider_rate_per_second, dry_run=dry_run)
        offsets = await _run(config, steps, restored_to, dry_run=dry_run)
        if not dry_run:
            await recovery.finish(pool)
            await _audit(pool, "recover.finish", restored_to)
        return RecoveryReport(
            restored_to=restored_to,
            dry_run=dry_run,
            offsets=[OffsetSetBack(**asdict(change)) for change in offsets],
            **asdict(steps.done),
        )


async def _run(config: Config, steps: Recovery, restored_to: datetime, *, dry_run: bool) -> list[OffsetChange]:
    """Run the steps. The offsets come last: the service reads the orders again only if everything before is stored."""
    async for published in topics.published_since(config, config.deployment, restored_to):
        await steps.store(published.records, skipped=published.skipped)
        reached("recover.records.stored")
    await steps.write_records()
    await steps.look_first()
    await steps.withdraw_creates()
    reached("recover.operations.after")
    await steps.read_intents()
    await steps.enqueue_reads()
    reached("recover.provider.after")
    await steps.list_missing()
    offsets = await topics.offsets_at(config, restored_to)
    if not dry_run:
        await asyncio.to_thread(topics.set_offsets, config, offsets)
    reached("recover.offsets.after")
    return offsets


async def _require_stopped(config: Config, context: Context, restored_to: datetime) -> None:
    steps = Recovery(context, restored_to, rate_per_s=config.provider_rate_per_second, dry_run=True)
    await steps.require_stopped()
    if missing := await asyncio.to_thread(missing_topics, config, LIST_TIMEOUT_S):
        # Without a topic, its numbers would be used twice.
        message = f"The broker does not have {', '.join(missing)}. Check KAFKA_BROKERS, or restore the topics, then run this again."
        raise Refusal(RefusalReason.NOT_YET, message)
    if members := await asyncio.to_thread(topics.members_of_group, config):
        message = f"The consumer group {config.kafka_group_id} has {members} members: stop every replica, then run this again."
        raise Refusal(RefusalReason.NOT_YET, message)


async def _audit(pool: Pool, action: str, restored_to: datetime) -> None:
    async with pool.acquire() as connection:
        detail = {"restored_to": restored_to.isoformat()}
        await audit.append(connection, operator.actor(), action, payment_id=None, detail=detail)
