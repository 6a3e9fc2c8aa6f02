"""The waist of the service: facts fold into locked payments here, and are written with history and records in one transaction.

Nothing else writes a status, of a payment, a refund or a dispute.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from payment_service.db import disputes, operations, payments, records, refunds
from payment_service.domain.dispute import DisputeChanged, DisputeFact, apply_dispute
from payment_service.domain.ids import dispute_id
from payment_service.domain.payment import Applied, Parked, Stray, apply
from payment_service.domain.refund import (
    ReadIntent,
    ReadRefunds,
    RefundFact,
    RefundListFact,
    RefundRefused,
    RefundRequested,
    RefundsChanged,
    RefundsMoved,
    apply_refund,
)
from payment_service.domain.unexpected import UnexpectedFact, park
from payment_service.flows.state.outbox_records import outbox_record
from payment_service.flows.state.system_operations import cancel_stray, read_after, read_own_intent, read_refunds
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.db.refunds import Requester
    from payment_service.domain.dispute import Dispute
    from payment_service.domain.events import Announcement
    from payment_service.domain.facts import AnyFact, AnyVerdict
    from payment_service.domain.payment import Payment
    from payment_service.domain.refund import Refund
    from payment_service.provider.port import Request
    from payment_service.provider.providers import Providers

log = structlog.get_logger(__name__)

# Facts that need a payment's refunds, or its disputes too, to be judged by.
_ABOUT_CHILDREN = (RefundRequested, RefundFact, RefundListFact, RefundRefused, RefundsMoved, DisputeFact)


@dataclass(slots=True)
class _Children:
    """What hangs on a payment, as it was read and as it is folded so far."""

    refunds: dict[UUID, Refund] = field(default_factory=dict)
    disputes: dict[UUID, Dispute] = field(default_factory=dict)


class Fold:
    """Payments that this transaction holds, and what their facts, one after another, make of them.

    `now`: our clock, for the records' `ce_time`. Facts about refunds and disputes need `load_for` first.
    """

    def __init__(self, locked: Mapping[UUID, Payment], *, deployment: str, providers: Providers, now: datetime) -> None:
        self._was = locked
        self._is = dict(locked)
        self._children: dict[UUID, _Children] = {}
        self._deployment = deployment
        self._providers = providers
        self._now = now
        self._history: list[records.HistoryEntry] = []
        self._outbox: list[records.OutboxRecord] = []
        self._operations: dict[UUID, operations.NewOperation] = {}
        self._refunds: dict[UUID, Refund] = {}
        self._disputes: dict[UUID, Dispute] = {}
        self._asked: dict[UUID, Requester] = {}

    def __contains__(self, payment_id: object) -> bool:
        return payment_id in self._is

    async def load_for(self, connection: Connection, facts: Iterable[tuple[UUID, AnyFact]]) -> None:
        """Read what hangs on the payments that these facts need it of."""
        await self.load(
            connection, {key for key, fact in facts if key in self._is and isinstance(fact, _ABOUT_CHILDREN)}
        )

    async def load(self, connection: Connection, wanted: Collection[UUID]) -> None:
        """Read the refunds and disputes of payments that are held, so that nobody else changes them."""
        if not wanted:
            return
        of_refunds = await refunds.of_payments(connection, wanted)
        of_disputes = await disputes.of_payments(connection, wanted)
        self._children.update({key: _Children(of_refunds[key], of_disputes[key]) for key in wanted})

    def payment(self, payment_id: UUID) -> Payment:
        """The payment as folded so far."""
        return self._is[payment_id]

    def refund(self, payment_id: UUID, refund_id: UUID) -> Refund:
        """A refund as folded so far, of a payment whose children are loaded. Raises KeyError."""
        return self._children[payment_id].refunds[refund_id]

    def disputed(self, payment_id: UUID) -> bool:
        """Whether a bank has a loaded payment's money."""
        return any(dispute.takes_the_money for dispute in self._children[payment_id].disputes.values())

    def take(self, payment_id: UUID, fact: AnyFact) -> AnyVerdict:
        """Fold one fact. What it asks for (a stray to cancel, a read) is queued; what is parked is for the caller to note."""
        payment = self._is[payment_id]
        verdict = self._judge(payment, fact)
        match verdict:
            case Applied(payment=changed, announcements=told):
                self._is[payment_id] = self._record(payment, changed, told, fact)
            case RefundsChanged(payment=changed, refunds=moved, announcements=told):
                self._is[payment_id] = self._record(payment, changed, told, fact)
                self._children[payment_id].refunds.update({refund.id: refund for refund in moved})
                self._refunds.update({refund.id: refund for refund in moved})
            case DisputeChanged(dispute=dispute, announcements=told):
                self._is[payment_id] = self._record(payment, payment, told, fact)
                self._children[payment_id].disputes[dispute.id] = dispute
                self._disputes[dispute.id] = dispute
            case Stray(intent_id=intent_id, cancel=True):
                self.enqueue(cancel_stray(payment, intent_id, self._providers))
            case ReadIntent():
                self._ask(read_own_intent(payment, _source(fact), self._providers))
            case ReadRefunds():
                self._ask(read_refunds(payment, _source(fact), self._providers))
            case Parked(reason=reason, detail=detail):
                log.error("payment_parked", payment_id=str(payment_id), reason=reason, detail=detail)
            case _:
                pass
        return verdict

    def note(self, payment_id: UUID, cause: str) -> None:
        """Remember in the payment's history what was learned without changing it."""
        payment = self._is[payment_id]
        self._remember(payment, payment, None, cause, self._now)

    def name_asker(self, refund_id: UUID, asked: Requester) -> None:
        """Note who asked for a refund that this fold has made."""
        self._asked[refund_id] = asked

    def enqueue(self, operation: operations.NewOperation) -> None:
        """Queue a call to the provider."""
        self._operations[operation.id] = operation

    def ask_for_read(self, payment_id: UUID, after: Request, cause: str) -> None:
        """Queue a read of what a request was about, the payment's own intent, a stray or refunds; its answer is a fact like any other."""
        self.enqueue(read_after(self._is[payment_id], after, cause, self._providers))

    async def write(self, connection: Connection) -> None:
        """Write everything: payments, then what hangs on them, then their history, records and operations."""
        changes = [(self._was[key], now) for key, now in self._is.items() if now != self._was[key]]
        if changes:
            await payments.save(connection, changes)
        if self._refunds:
            rows = [(r, self._is[r.payment_id].provider, self._asked.get(r.id)) for r in self._refunds.values()]
            await refunds.save(connection, rows)
        if self._disputes:
            await disputes.save(connection, [(d, self._is[d.payment_id].provider) for d in self._disputes.values()])
        if self._history:
            await records.append_history(connection, self._history)
        if self._outbox:
            await records.append_outbox(connection, self._outbox)
        if self._operations:
            await operations.enqueue(connection, list(self._operations.values()))

    def count(self) -> None:
        """Count what was written. Call it after the commit."""
        for record in self._outbox:
            metrics.OUTBOX_RECORDS.labels(record.topic).inc()
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

    def _judge(self, payment: Payment, fact: AnyFact) -> AnyVerdict:
        match fact:
            case RefundRequested() | RefundFact() | RefundListFact() | RefundRefused() | RefundsMoved():
                return apply_refund(payment, self._children[payment.id].refunds, fact)
            case DisputeFact():
                known = self._children[payment.id].disputes.get(dispute_id(payment.id, fact.provider_dispute_id))
                return apply_dispute(payment, known, fact)
            case UnexpectedFact():
                return park(fact)
            case _:
                return apply(payment, fact)

    def _ask(self, read: operations.NewOperation | None) -> None:
        if read is not None:
            self.enqueue(read)

    def _record(self, was: Payment, now: Payment, told: tuple[Announcement, ...], fact: AnyFact) -> Payment:
        occurred_at = datetime.fromtimestamp(fact.at, UTC)
        if not told and now.status is not was.status:
            self._remember(was, now, None, f"{getattr(fact, 'intent_id', '')}:{now.status}", occurred_at)
        for announcement in told:
            now = replace(now, sequence=now.sequence + 1)
            self._remember(was, now, announcement.topic, announcement.cause, occurred_at)
            self._outbox.append(outbox_record(now, announcement, deployment=self._deployment, now=self._now))
        return now

    def _remember(
        self, was: Payment, now: Payment, published_topic: str | None, cause: str, occurred_at: datetime
    ) -> None:
        self._history.append(
            records.HistoryEntry(
                payment_id=now.id,
                sequence=now.sequence if published_topic else None,
                from_status=was.status,
                to_status=now.status,
                published_topic=published_topic,
                cause=cause,
                occurred_at=occurred_at,
            )
        )


def _source(fact: AnyFact) -> str:
    return str(getattr(fact, "source", "asked"))
