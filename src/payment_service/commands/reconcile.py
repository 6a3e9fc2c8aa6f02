"""`reconcile`: compare a window, repair what is certain, and report the rest."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from payment_service import exit_codes
from payment_service.commands import operator, output, session
from payment_service.commands.settings import CommandSettings
from payment_service.config.config import ConfigError
from payment_service.contracts.operators import ReconciledDifference, ReconciliationReport
from payment_service.db import audit
from payment_service.db.differences import count_open
from payment_service.db.reconciliations import LeaseLost, Window
from payment_service.domain.differences import describe
from payment_service.flows.reconciliation.engine import AlreadyRunning, Reconciliation, comparisons_of
from payment_service.flows.reconciliation.provider_reads import ProviderUnavailable
from payment_service.flows.state.errors import Refusal, RefusalReason, Unavailable
from payment_service.kafka.published_records import open_published_records
from payment_service.provider.stripe.webhooks import PROVIDER as STRIPE

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from payment_service.domain.differences import Difference
    from payment_service.flows.reconciliation.engine import Finished
    from payment_service.flows.state.context import Context

# About 5 MB. More differences of one kind have one cause. The table `differences` has each that stays open.
SHOWN_MAX: Final = 10_000


def reconcile(since: str, until: str, *, dry_run: bool, as_json: bool) -> int:
    """Reconcile a window, and return the exit code. Raises ConfigError, Refusal."""
    window = _read_window(since, until)
    settings = CommandSettings.from_environment()
    if STRIPE in settings.providers:
        settings.require_stripe_key("its objects are compared, so set it as the service has it")
    found = Found(as_json=as_json, dry_run=dry_run)
    open_reader = partial(open_published_records, settings) if "kafka_brokers" in settings.model_fields_set else None
    # librdkafka would log each attempt; the run logs the error once.
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)

    async def work(context: Context) -> ReconciliationReport:
        comparisons = comparisons_of(context, settings, open_reader=open_reader)
        run = Reconciliation(context, comparisons, report=found.add)
        if not dry_run:
            await _audit(context, window)
        finished = await _finish(run.run_dry(window) if dry_run else run.run(window))
        return ReconciliationReport(
            id=finished.run_id,
            since=finished.window.since,
            until=finished.window.until,
            compared=finished.counts.compared,
            ignored=finished.counts.ignored,
            postponed=finished.counts.postponed,
            topics=open_reader is not None,
            differences=found.first,
            has_more=found.count > len(found.first),
            found=found.count,
            repaired=found.repaired,
            open=found.count if dry_run else await count_open(context.pool),
        )

    done = session.run_change(work)
    if as_json:
        output.print_json(done)
    else:
        _summarize(done)
    return exit_codes.DIFFERENCES if done.open else exit_codes.DONE


class Found:
    """The differences of a run: printed one by one, or the first of them for a report in JSON, and their numbers."""

    def __init__(self, *, as_json: bool, dry_run: bool) -> None:
        self._as_json = as_json
        self._dry_run = dry_run
        self.first: list[ReconciledDifference] = []
        self.count = self.repaired = 0

    def add(self, difference: Difference) -> None:
        self.count += 1
        self.repaired += difference.repaired
        shown = _shown(difference)
        if not self._as_json:
            _print(shown, dry_run=self._dry_run)
        elif len(self.first) < SHOWN_MAX:
            self.first.append(shown)


async def _audit(context: Context, window: Window) -> None:
    """Record the command before it repairs anything, so that one that is killed is recorded too."""
    detail = {"since": window.since.isoformat(), "until": window.until.isoformat()}
    who = operator.actor()  # may ask, so before the transaction
    async with context.pool.acquire() as connection, connection.transaction():
        await audit.append(connection, who, "reconcile", payment_id=None, detail=detail)


async def _finish(run: Awaitable[Finished]) -> Finished:
    """Wait for a run. Raises Refusal if it cannot run or does not end."""
    try:
        return await run
    except (AlreadyRunning, LeaseLost) as error:
        raise Refusal(RefusalReason.IN_PROGRESS, str(error)) from None
    except ProviderUnavailable as error:
        raise Refusal(
            RefusalReason.BUSY, f"{error} Run the same command again: it resumes the reconciliation."
        ) from None
    except Unavailable:
        message = "The database did not store events. Run the same command again: it resumes the reconciliation."
        raise Refusal(RefusalReason.BUSY, message) from None


def _read_window(since: str, until: str) -> Window:
    now = datetime.now(UTC)
    window = Window.of(session.read_time(since, now), session.read_time(until, now, option="--until") if until else now)
    if window.since >= window.until:
        raise ConfigError("--until takes a time after --since.")
    return window


def _shown(difference: Difference) -> ReconciledDifference:
    return ReconciledDifference(
        code=difference.code,
        subject=difference.subject,
        payment_id=difference.payment_id,
        detail=difference.detail,
        repaired=difference.repaired,
        action="" if difference.repaired else describe(difference.code).action,
    )


def _print(one: ReconciledDifference, *, dry_run: bool) -> None:
    certain = dry_run and describe(one.code).certain
    result = "repaired" if one.repaired else "would be repaired" if certain else "open"
    output.print_line(f"{result}: {one.code} {one.subject} payment {one.payment_id or '-'}: {one.detail}")
    if not one.repaired and not certain:
        output.print_line(f"    {one.action}")


def _summarize(done: ReconciliationReport) -> None:
    output.print_note(
        f"{done.compared} objects compared, {done.ignored} of other programs ignored. "
        f"{'' if done.topics else 'KAFKA_BROKERS is not set, so the topics were not compared. '}"
        f"Differences: {done.found}, repaired: {done.repaired}, open: {done.open}, postponed: {done.postponed}."
    )
