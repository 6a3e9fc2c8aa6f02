"""Fold facts into locked payments, and write them with history, events and operations in one transaction.

This is the only writer of the status of payments, refunds and disputes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from payment_service.db import disputes, operations, payment_attempts, payments, polls, records, recovery, refunds
from payment_service.domain.dispute import (
    CLOSED,
    DisputeChanged,
    DisputeFact,
    DisputeListFact,
    apply_dispute,
)
from payment_service.domain.early_facts import ReadIntent
from payment_service.domain.ids import dispute_id
from payment_service.domain.payment import Applied, ChargeFact, Ignored, IntentFact, Parked, Status, Stray, apply
from payment_service.domain.payment_attempt import merge
from payment_service.domain.refund import (
    ReadRefunds,
    RefundFact,
    RefundListFact,
    RefundRefused,
    RefundRequested,
    RefundsChanged,
    RefundTotalFact,
    apply_refund,
    is_pending,
)
from payment_service.domain.unexpected import UnexpectedFact, park
from payment_service.flows.state.outbox_records import outbox_record
from payment_service.flows.state.recovered_numbers import renumber
from payment_service.flows.state.system_operations import (
    cancel_stray,
    read_after,
    read_intent,
    read_object,
    read_own_intent,
    read_refunds,
)
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.db.refunds import Requester
    from payment_service.domain.dispute import Dispute
    from payment_service.domain.facts import AnyFact, AnyVerdict, SingleFact
    from payment_service.domain.payment import Payment
    from payment_service.domain.payment_attempt import PaymentAttempt
    from payment_service.domain.payment_event import PaymentEvent
    from payment_service.domain.refund import Refund
    from payment_service.provider.port import Request
    from payment_service.provider.providers import Providers

log = structlog.get_logger(__name__)

# Facts that depend on the payment's refunds or disputes.
_ABOUT_CHILDREN = (
    RefundRequested,
    RefundFact,
    RefundListFact,
    RefundRefused,
    RefundTotalFact,
    DisputeFact,
    DisputeListFact,
)


@dataclass(slots=True)
class _Children:
    """The refunds and disputes of a payment, as folded so far."""

    refunds: dict[UUID, Refund] = field(default_factory=dict)
    disputes: dict[UUID, Dispute] = field(default_factory=dict)


class Fold:
    """Locked payments and the changes that facts make to them, one after another.

    `now` is the service's clock, for the `ce_time` of events. Facts about refunds and disputes need `load_for` first.
    """

    def __init__(self, locked: Mapping[UUID, Payment], *, deployment: str, providers: Providers, now: datetime) -> None:
        self._before = locked
        self._current = dict(locked)
        self._children: dict[UUID, _Children] = {}
        self._deployment = deployment
        self._providers = providers
        self._now = now
        self._history: list[records.HistoryEntry] = []
        self._outbox: list[records.OutboxRecord] = []
        self._operations: dict[UUID, operations.NewOperation] = {}
        self._strays: set[UUID] = set()
        self._refunds: dict[UUID, Refund] = {}
        self._disputes: dict[UUID, Dispute] = {}
        self._attempts: dict[tuple[UUID, str], PaymentAttempt] = {}
        self._requesters: dict[UUID, Requester] = {}
        self._published: Mapping[UUID, Collection[tuple[str, str]]] = {}

    def __contains__(self, payment_id: object) -> bool:
        return payment_id in self._current

    async def load_for(self, connection: Connection, facts: Iterable[tuple[UUID, AnyFact]]) -> None:
        """Read the refunds and disputes of the payments whose facts depend on them."""
        await self.load(
            connection, {key for key, fact in facts if key in self._current and isinstance(fact, _ABOUT_CHILDREN)}
        )

    async def load(self, connection: Connection, wanted: Collection[UUID]) -> None:
        """Read the refunds and disputes of locked payments. The locks protect them too."""
        if not wanted:
            return
        of_refunds = await refunds.of_payments(connection, wanted)
        of_disputes = await disputes.of_payments(connection, wanted)
        self._children.update({key: _Children(of_refunds[key], of_disputes[key]) for key in wanted})

    def payment(self, payment_id: UUID) -> Payment:
        """Return the payment as folded so far."""
        return self._current[payment_id]

    def find_refund(self, payment_id: UUID, refund_id: UUID) -> Refund | None:
        """Return a refund of a loaded payment, or None."""
        return self._children[payment_id].refunds.get(refund_id)

    def refund(self, payment_id: UUID, refund_id: UUID) -> Refund:
        """Return a refund as folded so far. Its payment must be loaded. Raise KeyError."""
        return self._children[payment_id].refunds[refund_id]

    def is_disputed(self, payment_id: UUID) -> bool:
        """Return whether a bank has withdrawn the money of a loaded payment."""
        return any(dispute.funds_withdrawn for dispute in self._children[payment_id].disputes.values())

    def take(self, payment_id: UUID, fact: AnyFact) -> AnyVerdict:
        """Fold one fact. Enqueue the operations that it requires. The caller handles a parked verdict."""
        if isinstance(fact, DisputeListFact):
            verdicts = [self.take(payment_id, one) for one in fact.disputes]
            return next((v for v in verdicts if isinstance(v, Parked)), Ignored("each was taken"))
        payment = self._current[payment_id]
        verdict = self._verdict_on(payment, fact)
        match verdict:
            case Applied(payment=changed, events=events):
                self._current[payment_id] = self._record(payment, changed, events, fact)
            case RefundsChanged(payment=changed, refunds=changes, events=events):
                self._current[payment_id] = self._record(payment, changed, events, fact)
                self._children[payment_id].refunds.update({refund.id: refund for refund in changes})
                self._refunds.update({refund.id: refund for refund in changes})
            case DisputeChanged(dispute=dispute, events=events):
                self._current[payment_id] = self._record(payment, payment, events, fact)
                self._children[payment_id].disputes[dispute.id] = dispute
                self._disputes[dispute.id] = dispute
            case Stray(intent_id=intent_id, cancel=True):
                self._enqueue_stray(payment, intent_id)
            case ReadIntent(intent_id=intent_id):
                self.enqueue(read_intent(payment, intent_id, _source(fact), self._providers))
            case ReadRefunds():
                self._enqueue_if_any(read_refunds(payment, _source(fact), self._providers))
            case Parked(reason=reason, detail=detail):
                log.error("payment_parked", payment_id=str(payment_id), reason=reason, detail=detail)
                if isinstance(fact, IntentFact) and fact.status is Status.PROCESSING:
                    # The cancel reads the stray first and waits for the bank, so that it is not payable after a decline.
                    self._enqueue_stray(payment, fact.intent_id)
            case _:
                pass
        self._collect_attempt(payment, fact, verdict)
        return verdict

    def append_history(self, payment_id: UUID, cause: str) -> None:
        """Add a history entry for a fact that does not change the payment."""
        payment = self._current[payment_id]
        self._append_history(payment, payment, None, cause, self._now)

    def skip_published(self, causes: Mapping[UUID, Collection[tuple[str, str]]]) -> None:
        """Do not publish these (topic, cause) of each payment again. A row that was set back has published them before."""
        self._published = causes

    def set_requester(self, refund_id: UUID, requester: Requester) -> None:
        """Set the requester of a refund that this fold created."""
        self._requesters[refund_id] = requester

    def enqueue(self, operation: operations.NewOperation) -> None:
        """Enqueue a call to the provider."""
        self._operations[operation.id] = operation

    def enqueue_read(self, payment_id: UUID, after: Request, cause: str) -> None:
        """Enqueue a read of the object of a request: the payment's own intent, a stray or refunds."""
        self.enqueue(read_after(self._current[payment_id], after, cause, self._providers))

    def enqueue_read_again(self, payment_id: UUID, request: Request, cause: str) -> None:
        """Enqueue a read of an object in our version."""
        self.enqueue(read_object(self._current[payment_id], request, cause))

    def enqueue_own_read(self, payment_id: UUID, cause: str) -> None:
        """Enqueue a read of the payment's own intent, if it has one."""
        self._enqueue_if_any(read_own_intent(self._current[payment_id], cause, self._providers))

    async def write(self, connection: Connection) -> None:
        """Write history and events, payments and the end of their polls, then refunds and disputes, then polls and operations."""
        self._read_authorizations()
        await self._append_records(connection)
        changes = [(self._before[key], now) for key, now in self._current.items() if now != self._before[key]]
        shown = [now.id for was, now in changes if _shows_results(was, now)]
        parked = bool(changes) and await payments.save(
            connection, changes, polled_no_longer=self._ended(), showing=shown
        )
        if self._attempts:
            await payment_attempts.save(
                connection,
                [(key, self._current[key].provider, attempt) for (key, _), attempt in self._attempts.items()],
            )
        if self._refunds:
            rows = [
                (r, self._current[r.payment_id].provider, self._requesters.get(r.id)) for r in self._refunds.values()
            ]
            await refunds.save(connection, rows)
        if self._disputes:
            await disputes.save(
                connection, [(d, self._current[d.payment_id].provider) for d in self._disputes.values()]
            )
        if wanted := self._to_poll():
            await polls.request(
                connection, [(key, self._current[key].provider, tries) for key, tries in wanted.items()]
            )
        await self._write_operations(connection)
        if parked:
            await operations.finish_known(connection, shown)

    async def _write_operations(self, connection: Connection) -> None:
        if self._operations:
            await operations.enqueue(connection, list(self._operations.values()))
        if self._strays:
            await operations.retry_strays(connection, sorted(self._strays))

    def count(self) -> None:
        """Count the changes. Call it after the commit."""
        for topic, number in Counter(record.topic for record in self._outbox).items():
            metrics.OUTBOX_RECORDS.labels(topic).inc(number)
        moves = Counter((self._before[key].status, now.status) for key, now in self._current.items())
        for (was, now), number in moves.items():
            if now is not was:
                metrics.TRANSITIONS.labels(was, now).inc(number)
        for key, payment in self._current.items():
            _count_money(self._before[key], payment)

    @property
    def has_events(self) -> bool:
        """Return whether the relay has work."""
        return bool(self._outbox)

    @property
    def has_operations(self) -> bool:
        """Return whether the dispatcher has work."""
        return bool(self._operations)

    def _collect_attempt(self, payment: Payment, fact: SingleFact, verdict: AnyVerdict) -> None:
        """Keep what a fact about the payment's own intent shows of an attempt to pay, even if it changes no status."""
        if isinstance(fact, IntentFact | ChargeFact) and isinstance(verdict, Applied | Ignored) and fact.attempt:
            key = (payment.id, fact.attempt.name)
            known = self._attempts.get(key)
            self._attempts[key] = merge(known, fact.attempt) if known else fact.attempt

    def _to_poll(self) -> dict[UUID, int]:
        """Return the payments of which something is open now, with the number of polls so far."""
        wanted = {d.payment_id: polls.DISPUTE_TRIES for d in self._disputes.values() if d.status not in CLOSED}
        return wanted | {r.payment_id: 0 for r in self._refunds.values() if is_pending(r)}

    def _ended(self) -> list[UUID]:
        """Return the payments that ended now and of which nothing is open."""
        wanted = self._to_poll()
        ended = (key for key, now in self._current.items() if now.status.ended and not self._before[key].status.ended)
        return [key for key in ended if key not in wanted]

    def _verdict_on(self, payment: Payment, fact: SingleFact) -> AnyVerdict:
        match fact:
            case RefundRequested() | RefundFact() | RefundListFact() | RefundRefused() | RefundTotalFact():
                return apply_refund(payment, self._children[payment.id].refunds, fact)
            case DisputeFact():
                known = self._children[payment.id].disputes.get(dispute_id(payment.id, fact.provider_dispute_id))
                return apply_dispute(payment, known, fact)
            case UnexpectedFact():
                return park(fact)
            case _:
                return apply(payment, fact)

    async def _append_records(self, connection: Connection) -> None:
        if not self._history and not self._outbox:
            return
        if not await records.append(connection, self._history, self._outbox):
            await self._continue_numbers(connection)
            await records.append(connection, self._history, self._outbox, renumbered=True)

    async def _continue_numbers(self, connection: Connection) -> None:
        """Publish no event that a topic has already, after a backup was restored."""
        found = await recovery.sequences_of(connection, {record.aggregate_id for record in self._outbox})
        before = {key: payment.sequence for key, payment in self._before.items()}
        numbered = renumber(self._outbox, self._history, before=before, recovered=found)
        self._outbox, self._history = numbered.outbox, numbered.history
        for key, last in numbered.last.items():
            now = self._current[key] = replace(self._current[key], sequence=last)
            if now.status is Status.SUCCEEDED and self._before[key].status is not Status.SUCCEEDED:
                # The lost rows may include refunds, whose events are not sent again.
                self._enqueue_if_any(read_refunds(now, "recovered", self._providers))

    def _enqueue_if_any(self, read: operations.NewOperation | None) -> None:
        if read is not None:
            self.enqueue(read)

    def _enqueue_stray(self, payment: Payment, intent_id: str) -> None:
        operation = cancel_stray(payment, intent_id, self._providers)
        self.enqueue(operation)
        self._strays.add(operation.id)

    def _read_authorizations(self) -> None:
        """Read new authorizations whose end is unknown: the event of an intent names its charge only."""
        for key, now in self._current.items():
            new = now.status is Status.AUTHORIZED and self._before[key].status is not Status.AUTHORIZED
            if new and now.capture_before is None:
                self.enqueue_own_read(key, "authorized")

    def _record(self, was: Payment, now: Payment, events: tuple[PaymentEvent, ...], fact: AnyFact) -> Payment:
        occurred_at = _occurred_at(fact)
        known = self._published.get(now.id, ())
        events = tuple(event for event in events if (event.data.topic, event.cause) not in known)
        if not events and now.status is not was.status:
            self._append_history(was, now, None, f"{getattr(fact, 'intent_id', '')}:{now.status}", occurred_at)
        for event in events:
            now = replace(now, sequence=now.sequence + 1)
            at = occurred_at if event.at is None else datetime.fromtimestamp(event.at, UTC)
            self._append_history(was, now, event.data.topic, event.cause, at)
            self._outbox.append(outbox_record(now, event, deployment=self._deployment, now=self._now))
        return now

    def _append_history(
        self, was: Payment, now: Payment, topic: str | None, cause: str, occurred_at: datetime | None
    ) -> None:
        self._history.append(
            records.HistoryEntry(
                payment_id=now.id,
                sequence=now.sequence if topic else None,
                from_status=was.status,
                to_status=now.status,
                published_topic=topic,
                cause=cause,
                occurred_at=occurred_at,
            )
        )


def _occurred_at(fact: AnyFact) -> datetime | None:
    """Return the provider's time of a fact. The time of a reading is none: it says only what was true then."""
    at = getattr(fact, "occurred_at", None)
    if at is None and not getattr(fact, "from_read", False):
        at = fact.at
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _source(fact: AnyFact) -> str:
    return str(getattr(fact, "source", "asked"))


def _shows_results(was: Payment, now: Payment) -> bool:
    """Return whether the change shows the result of a create, a capture or a cancel that may be parked.

    Most payments succeed without any of these, so they cost no look. A request settles the rare rest.
    """
    if now.provider_payment_id is not None and was.provider_payment_id is None:
        return True
    return now.status is not was.status and (was.status is Status.AUTHORIZED or now.status is Status.CANCELED)


def _count_money(was: Payment, now: Payment) -> None:
    code = now.amount.currency.code
    if captured := now.captured.minor - was.captured.minor:
        metrics.MONEY_MINOR.labels(code, "captured").inc(max(0, captured))
    if refunded := now.refunded.minor - was.refunded.minor:
        metrics.MONEY_MINOR.labels(code, "refunded" if refunded > 0 else "returned").inc(abs(refunded))
