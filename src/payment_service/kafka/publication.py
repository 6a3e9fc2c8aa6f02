"""The publishing rounds of a leading relay: fetch, send, mark acknowledged records, park records that cannot be
published.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

import payment_service_events
from payment_service.crash_points import reached
from payment_service.db import outbox
from payment_service.kafka.frontier import Frontier
from payment_service.kafka.producer import FailureScope
from payment_service.kafka.window import Window
from payment_service.loop import ERROR_PAUSE_MAX_S, ERROR_PAUSE_MIN_S
from payment_service.rate_limiter import RateLimiter
from payment_service.telemetry import metrics, steps

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from payment_service.db.outbox import OutboxRow
    from payment_service.db.pool import Pool
    from payment_service.kafka.lease import Lease
    from payment_service.kafka.producer import DeliveryReport, RecordProducer

log = structlog.get_logger(__name__)

# A fetch walks over the entries of published records that vacuum has not removed yet, so a backlog is read in large pages.
FETCH_ROWS: Final = 1_500
# Fetch ahead while acknowledgements are outstanding, but not more than a broker handles in a moment: about 6 MB of memory.
WINDOW_ROWS: Final = 3_000
FETCH_LIMIT_BYTES: Final = (
    8_388_608  # of values; a dead letter has up to 512 kB, so a row count alone does not bound memory
)
RELEASE_ROWS: Final = 5_000  # parked aggregates released per statement after a topic recovers; about 50 ms
LOG_INTERVAL_S: Final = 60.0  # how often the same error is logged


class LeaseLostError(Exception):
    """Another relay publishes now: send and mark nothing more."""


class Publication:
    """The records in progress during one term of leadership; it outlives a failed producer."""

    def __init__(self, pool: Pool, lease: Lease, *, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._lease = lease
        self._clock = clock
        self._window = Window()
        self._frontier = Frontier(pool, clock=clock)
        self._unsaved_parked: list[outbox.ParkedAggregate] = []  # decided, not written yet
        self._refusing_topics: set[str] = set()
        self._released_topics: set[str] = set()
        self._probes: set[UUID] = set()
        self._left = False  # whether there may be more than the last fetch took
        self._resume_at = 0.0
        self._pause_s = ERROR_PAUSE_MIN_S
        self._log_limiter = RateLimiter(burst=1, every_s=LOG_INTERVAL_S, clock=clock)
        self._reports_steps = steps.wanted()
        self._waited = metrics.STAGE_SECONDS.labels("outbox_to_ack")

    @property
    def drained(self) -> bool:
        """Return True if nothing is in flight and nothing remains to be written."""
        return not (self._window.in_flight or self._window.acknowledged or self._unsaved_parked)

    def recall(self) -> None:
        """Return the records in flight to the queue after the producer failed; the next producer sends them."""
        self._window.recall()

    async def round(self, producer: RecordProducer, *, sending: bool, fetching: bool = True) -> bool:
        """Do one round and return True if it did any work. Raises LeaseLostError, and errors of the database.

        `fetching`: look for new records. Records that the last fetch had to leave are fetched in any case.
        An error loses nothing: results that could not be written are kept for the next round.
        """
        reports = producer.drain_reports()
        now = datetime.now(UTC)
        published = Counter(topic for report in reports if (topic := self._handle_report(report, now)) is not None)
        for topic, number in published.items():
            metrics.PUBLISHED.labels(topic).inc(number)
        if sending:
            self._send(producer)
        await self._mark()
        await self._save_parked()
        await self._release()
        fetched = await self._fetch() if sending and (fetching or self._left) else 0
        if fetched:
            self._send(producer)
        return bool(reports or fetched)

    async def probe(self) -> None:
        """Release one record to each topic that refused its last record."""
        self._refusing_topics = await outbox.parked_topics(self._pool) - self._released_topics
        for topic in self._refusing_topics:
            self._probes.update(await outbox.release_topic(self._pool, topic, limit=1))

    def _handle_report(self, report: DeliveryReport, now: datetime) -> str | None:
        """Take note of a report. Return the topic of a record that is acknowledged now."""
        row = self._window.get(report.position)
        if row is None:
            return None
        match report.failure:
            case None:
                self._acknowledge(row, report)
                self._waited.observe(max(0.0, (now - row.created_at).total_seconds()))
                if self._reports_steps:
                    _report_published(row, report, now)
                return row.topic
            case FailureScope.BROKER:
                self._window.retry(row)
                self._back_off(report.reason)
            case FailureScope.TOPIC:
                self._refusing_topics.add(row.topic)
                self._park(row, topic=row.topic, reason=report.reason)
            case FailureScope.RECORD if report.refused_here or self._window.is_alone(row):
                self._park(row, topic=None, reason=report.reason)
            case FailureScope.RECORD:
                # A broker refuses a batch as a whole, so another record in it may be at fault.
                self._window.suspect(row)
        return None

    def _acknowledge(self, row: OutboxRow, report: DeliveryReport) -> None:
        self._pause_s = ERROR_PAUSE_MIN_S
        self._probes.discard(row.aggregate_id)
        if row.topic in self._refusing_topics:
            self._refusing_topics.discard(row.topic)
            self._released_topics.add(row.topic)
        self._window.acknowledge(row, outbox.Placement(row.position, report.partition, report.offset))

    def _back_off(self, reason: str) -> None:
        """Stop sending for a while: the broker has a problem that affects every record."""
        now = self._clock()
        if now >= self._resume_at:
            self._resume_at = now + self._pause_s
            self._pause_s = min(self._pause_s * 2, ERROR_PAUSE_MAX_S)
        if self._log_limiter.allows(reason):
            log.warning("relay_broker_error", reason=reason, in_progress=len(self._window))

    def _park(self, row: OutboxRow, *, topic: str | None, reason: str) -> None:
        self._window.drop(row)
        self._probes.discard(row.aggregate_id)
        self._unsaved_parked.append(
            outbox.ParkedAggregate(aggregate_id=row.aggregate_id, position=row.position, topic=topic, reason=reason)
        )
        if topic is None:
            log.error(
                "record_parked",
                aggregate_id=str(row.aggregate_id),
                position=row.position,
                topic=row.topic,
                reason=reason,
            )
        elif self._log_limiter.allows(topic):
            log.error("topic_refuses_records", topic=topic, reason=reason)

    def _send(self, producer: RecordProducer) -> None:
        if self._clock() < self._resume_at:
            return
        while self._lease.held and (row := self._window.next_ready()) is not None:
            if row.topic in self._refusing_topics and row.aggregate_id not in self._probes:
                self._park(row, topic=row.topic, reason="TOPIC_REFUSES")
                continue
            reached("relay.produce.before")
            producer.send(row)

    async def _mark(self) -> None:
        placements = list(self._window.acknowledged)
        if not placements:
            return
        reached("relay.acknowledged")
        if not await outbox.mark_published(self._pool, placements, self._lease.fence):
            raise LeaseLostError
        self._window.marked(placements)
        await self._frontier.look()
        reached("relay.mark.after")

    async def _save_parked(self) -> None:
        parked = list(self._unsaved_parked)
        if not parked:
            return
        if not await outbox.park_aggregates(self._pool, parked, self._lease.fence):
            raise LeaseLostError
        self._unsaved_parked = self._unsaved_parked[len(parked) :]

    async def _release(self) -> None:
        for topic in list(self._released_topics):
            if not await outbox.release_topic(self._pool, topic, limit=RELEASE_ROWS):
                self._released_topics.discard(topic)
                log.info("topic_takes_records_again", topic=topic)

    async def _fetch(self) -> int:
        self._left = True
        if self._unsaved_parked or len(self._window) > WINDOW_ROWS - FETCH_ROWS:
            return 0
        rows = await outbox.fetch_unpublished(
            self._pool,
            limit=FETCH_ROWS,
            in_progress=self._window.positions,
            limit_bytes=FETCH_LIMIT_BYTES,
            start=self._frontier.begin(),
        )
        self._frontier.end()
        self._window.add(rows)
        self._left = len(rows) >= FETCH_ROWS
        return len(rows)


def _report_published(row: OutboxRow, report: DeliveryReport, now: datetime) -> None:
    headers = dict(row.header_list())
    traceparent = headers.get("traceparent")
    steps.took(
        "record_published",
        began_s=row.created_at.timestamp(),
        ended_s=now.timestamp(),
        payment_id=row.aggregate_id if row.topic in payment_service_events.TOPICS else None,
        # A dead letter has the bytes of its sender. The tracer checks the form.
        parent=traceparent.decode("latin-1") if isinstance(traceparent, bytes) else None,
        span_kind="producer",
        topic=row.topic,
        partition=report.partition,
        offset=report.offset,
    )
