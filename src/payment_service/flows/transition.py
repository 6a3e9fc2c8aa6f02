"""The waist of the service: facts fold into locked payments here, and are written with history and records in one transaction.

Nothing else writes a status.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from payment_service.db import operations, payments, records
from payment_service.domain.payment import Applied, Parked, Stray, apply
from payment_service.flows.announce import announce
from payment_service.flows.requests import cancel_stray, read_intent
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.domain.events import Announcement
    from payment_service.domain.payment import Fact, Payment, Verdict
    from payment_service.provider.port import Provider, Request

log = structlog.get_logger(__name__)


class Fold:
    """Payments that this transaction holds, and what their facts, one after another, make of them.

    `now`: our clock, for the records' `ce_time`.
    """

    def __init__(self, locked: Mapping[UUID, Payment], *, deployment: str, provider: Provider, now: datetime) -> None:
        self._was = locked
        self._is = dict(locked)
        self._deployment = deployment
        self._provider = provider
        self._now = now
        self._history: list[records.HistoryEntry] = []
        self._outbox: list[records.OutboxRecord] = []
        self._operations: dict[UUID, operations.NewOperation] = {}

    def __contains__(self, payment_id: object) -> bool:
        return payment_id in self._is

    def payment(self, payment_id: UUID) -> Payment:
        """The payment as folded so far."""
        return self._is[payment_id]

    def take(self, payment_id: UUID, fact: Fact) -> Verdict:
        """Fold one fact. A stray intent gets an operation that cancels it; what is parked is for the caller to note."""
        payment = self._is[payment_id]
        verdict = apply(payment, fact)
        match verdict:
            case Applied(payment=changed, announcements=told):
                self._is[payment_id] = self._record(payment, changed, told, fact)
            case Stray(intent_id=intent_id, cancel=True):
                self._enqueue(cancel_stray(payment, intent_id, self._provider))
            case Parked(reason=reason, detail=detail):
                log.error("payment_parked", payment_id=str(payment_id), reason=reason, detail=detail)
            case _:
                pass
        return verdict

    def ask_for_read(self, payment_id: UUID, after: Request, cause: str) -> None:
        """Queue a read of the intent that a request was about, the payment's own or a stray; its answer is a fact like any other."""
        self._enqueue(read_intent(self._is[payment_id], after, cause, self._provider))

    async def write(self, connection: Connection) -> None:
        """Write everything: payments, then their history, records and operations."""
        changes = [(self._was[key], now) for key, now in self._is.items() if now != self._was[key]]
        if changes:
            await payments.save(connection, changes)
        if self._history:
            await records.append_history(connection, self._history)
        if self._outbox:
            await records.append_outbox(connection, self._outbox)
        if self._operations:
            await operations.enqueue(connection, list(self._operations.values()))

    def count(self) -> None:
        """Count what was written. Call it after the commit."""
        for record in self._outbox:
            metrics.ANNOUNCED.labels(record.topic).inc()
        for key, now in self._is.items():
            if now.status is not self._was[key].status:
                metrics.TRANSITIONS.labels(self._was[key].status, now.status).inc()

    @property
    def announced(self) -> bool:
        """Whether the relay has something to do."""
        return bool(self._outbox)

    @property
    def enqueued(self) -> bool:
        """Whether the dispatcher has something to do."""
        return bool(self._operations)

    def _enqueue(self, operation: operations.NewOperation) -> None:
        self._operations[operation.id] = operation

    def _record(self, was: Payment, now: Payment, told: tuple[Announcement, ...], fact: Fact) -> Payment:
        occurred_at = datetime.fromtimestamp(fact.at, UTC)
        if not told and now.status is not was.status:
            self._remember(was, now, None, f"{getattr(fact, 'intent_id', '')}:{now.status}", occurred_at)
        for announcement in told:
            now = replace(now, sequence=now.sequence + 1)
            self._remember(was, now, announcement.topic, announcement.cause, occurred_at)
            self._outbox.append(announce(now, announcement, deployment=self._deployment, now=self._now))
        return now

    def _remember(self, was: Payment, now: Payment, announced: str | None, cause: str, occurred_at: datetime) -> None:
        self._history.append(
            records.HistoryEntry(
                payment_id=now.id,
                sequence=now.sequence if announced else None,
                from_status=was.status,
                to_status=now.status,
                announced=announced,
                cause=cause,
                occurred_at=occurred_at,
            )
        )
