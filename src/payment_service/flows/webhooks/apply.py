"""Webhooks: a group of verified events is stored and applied in one transaction; then, and only then, they are acknowledged.

Events are written first, in the order of their ids, then the payments that are free are locked in the order of theirs. An event
whose payment is held by somebody else, or is not there yet, waits: a loop applies it by the same code.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.crash_points import reached
from payment_service.db import events, payments
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.domain.dispute import DisputeChanged
from payment_service.domain.payment import Applied, Ignored, Parked, Stray
from payment_service.domain.refund import NotRefundable, ReadIntent, ReadRefunds, RefundsChanged, RefundsMoved
from payment_service.flows.intake.quarantine import quarantine_event
from payment_service.flows.state.batches import isolate_errors, process_batches
from payment_service.flows.state.errors import Unavailable
from payment_service.loop import Loop
from payment_service.provider.port import Disposition, ProviderEvent
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from payment_service.db.events import PendingEvent
    from payment_service.db.pool import Connection
    from payment_service.domain.facts import AnyVerdict
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold
    from payment_service.provider.port import EventKey

log = structlog.get_logger(__name__)

# Some 30 ms of work in one transaction: enough to spread a commit thin, well under the lock timeout of others.
GROUP_MAX: Final = 256
REPLAY_GROUP_MAX: Final = 100
# A payment that is locked is free again in a moment.
LOCKED_RETRY_S: Final = 0.25
# An event that names a payment we do not have: a restored backup, or a slow replica. Doubling from 1 s to an hour, for 72 h.
UNMATCHED_RETRY_MAX_S: Final = 3_600.0
UNMATCHED_KEPT: Final = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class _Delivery:
    event: ProviderEvent
    verified_by: str
    done: asyncio.Future[None]
    arrived_s: float


@dataclass(frozen=True, slots=True)
class Stored:
    """What a transaction stored. `passed`: what became of events that carry nothing for us; `repeated`: how many were known."""

    fold: Fold
    results: tuple[events.Result, ...]
    passed: tuple[Disposition, ...]
    repeated: int


class Webhooks:
    """Takes events in groups."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pending: list[_Delivery] = []
        self._storing = Loop("webhooks.store", self.store_once)
        self._replaying = Loop("webhooks.replay", self.replay_once, interval_max_s=0.5)

    def start(self) -> None:
        """Begin to store and to replay."""
        self._storing.start()
        self._replaying.start()

    async def stop(self) -> None:
        """Store what was delivered, then end."""
        await self._replaying.stop()
        await self._storing.stop()
        while self._pending:
            await self.store_once()

    async def take(self, event: ProviderEvent, verified_by: str) -> None:
        """Return when the event is durable. Raises Unavailable when it can't be stored now: the provider will send it again."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._pending.append(_Delivery(event, verified_by, done, loop.time()))
        self._storing.wake()
        await done

    async def store_once(self) -> int:
        """Store and apply what was delivered; return how many."""
        group, self._pending = self._pending[:GROUP_MAX], self._pending[GROUP_MAX:]
        if not group:
            return 0
        metrics.BATCH_SIZE.labels("webhooks").observe(len(group))
        try:
            await self._store([(d.event, d.verified_by) for d in group])
        except TRANSIENT_ERRORS as error:
            log.warning("webhooks_not_stored", size=len(group), error=type(error).__name__)
            _answer(group, Unavailable())
        except Exception as error:  # noqa: BLE001 - one event that trips the database must not stop the others
            log.warning("webhook_group_failed", size=len(group), error=type(error).__name__, detail=str(error)[:300])
            for delivery in group:
                await self._store_alone(delivery)
        else:
            _answer(group, None)
            waited_s = asyncio.get_running_loop().time() - group[0].arrived_s
            metrics.STAGE_SECONDS.labels("webhook_to_durable").observe(waited_s)
        return len(group)

    async def replay_once(self) -> int:
        """Apply stored events that are due; return how many were applied for good."""
        results = await process_batches(self._replay, REPLAY_GROUP_MAX, failed="replay_group_failed")
        return sum(result.processed for result in results)

    async def _replay(self, limit: int) -> list[events.Result]:
        async with self._context.pool.acquire() as connection, connection.transaction():
            work = await events.lock_pending(connection, self._context.providers.by_name.keys(), limit)
            waiting = {(w.provider, w.event_id): w for w in work}
            if not waiting:
                return []
            translated = [self._translate(w) for w in work]
            apply = self._apply if limit > 1 else self._apply_or_park
            fold, results = await apply(connection, translated)
            results = [self._age(result, waiting[result.event.key]) for result in results]
            await events.record_results(connection, results)
            reached("replay.commit.before")
        reached("replay.commit.after")
        self._context.after(fold)
        return results

    async def _apply_or_park(
        self, connection: Connection, work: Sequence[ProviderEvent]
    ) -> tuple[Fold, list[events.Result]]:
        """Apply behind a savepoint, so that what trips the database stays locked and is parked."""
        with isolate_errors("events_not_applicable", level=logging.ERROR, ids=[event.event_id for event in work]):
            async with connection.transaction():
                return await self._apply(connection, work)
        return self._context.fold({}), [
            events.Result(event=event, processed=False, result="not_applicable", parked_reason="not_applicable")
            for event in work
        ]

    async def store_within(
        self, connection: Connection, deliveries: Sequence[tuple[ProviderEvent, str]], *, alone: bool = False
    ) -> Stored:
        """Store and apply events (each with what verified it) in the caller's transaction; after its commit, call `note`."""
        deliveries = await self._find_own(connection, deliveries)
        new = await events.insert(connection, deliveries)
        unique = {event.key: event for event, _ in deliveries if event.key in new}
        work = [event for event in unique.values() if event.disposition is Disposition.APPLY]
        apply = self._apply_or_park if alone else self._apply
        fold, results = await apply(connection, work)
        # Stored as applied already, under the payment that the event itself names.
        corrections = [r for r in results if r.result != "applied" or r.event.payment_id is None]
        if corrections:
            await events.record_results(connection, corrections)
        passed = tuple(e.disposition for e in unique.values() if e.disposition is not Disposition.APPLY)
        return Stored(fold, tuple(results), passed, repeated=len(deliveries) - len(new))

    async def _find_own(
        self, connection: Connection, deliveries: Sequence[tuple[ProviderEvent, str]]
    ) -> Sequence[tuple[ProviderEvent, str]]:
        """Of what bears no name of ours, take what is about a payment's own intent: another program may have made it."""
        intents = {
            (e.provider, e.intent_id) for e, _ in deliveries if e.disposition is Disposition.FOREIGN and e.intent_id
        }
        own = await payments.of_intents(connection, intents) if intents else {}
        if not own:
            return deliveries
        return [
            (
                replace(event, disposition=Disposition.APPLY) if (event.provider, event.intent_id) in own else event,
                label,
            )
            for event, label in deliveries
        ]

    def note(self, stored: Stored) -> None:
        """Count what was committed, and wake those who have work now."""
        self._context.after(stored.fold)
        metrics.WEBHOOKS.labels("repeated").inc(stored.repeated)
        for result in (*stored.passed, *(r.result for r in stored.results)):
            metrics.WEBHOOKS.labels(result).inc()

    async def _store(self, deliveries: Sequence[tuple[ProviderEvent, str]], *, alone: bool = False) -> None:
        async with self._context.pool.acquire() as connection, connection.transaction():
            stored = await self.store_within(connection, deliveries, alone=alone)
            reached("webhook.commit.before")
        reached("webhook.commit.after")
        self.note(stored)

    async def _store_alone(self, delivery: _Delivery) -> None:
        try:
            await self._store([(delivery.event, delivery.verified_by)], alone=True)
        except TRANSIENT_ERRORS:
            _answer([delivery], Unavailable())
            return
        except Exception as error:  # noqa: BLE001 - it is kept, with the reason, and counted
            await self._keep_unstorable(delivery, error)
            return
        _answer([delivery], None)

    async def _keep_unstorable(self, delivery: _Delivery, error: Exception) -> None:
        event = delivery.event
        log.error("webhook_not_storable", event_id=event.event_id, error=type(error).__name__, detail=str(error)[:300])
        detail = f"The database refused the event ({type(error).__name__}): report this as a defect."
        try:
            await quarantine_event(self._context.pool, event, detail)
        except Exception as failure:  # noqa: BLE001 - what is not kept must be sent again, and its sender not be left waiting
            log.error("webhook_not_kept", event_id=event.event_id, error=type(failure).__name__)
            _answer([delivery], Unavailable())
            return
        _answer([delivery], None)

    async def _apply(self, connection: Connection, work: Sequence[ProviderEvent]) -> tuple[Fold, list[events.Result]]:
        names = await self._name_payments(connection, work)
        wanted = set(names.values())
        locked = await payments.lock_available(connection, wanted) if wanted else {}
        missing = wanted - locked.keys()
        known = await payments.existing(connection, missing) if missing else {}
        fold = self._context.fold(locked)
        ordered = sorted(work, key=lambda e: (e.occurred_at, e.event_id))
        named = [(event, names.get(event.key)) for event in ordered]
        await fold.load_for(connection, [(key, e.fact) for e, key in named if key is not None and e.fact is not None])
        results = [self._fold_in(fold, event, key, known) for event, key in named]
        await fold.write(connection)
        return fold, results

    async def _name_payments(self, connection: Connection, work: Sequence[ProviderEvent]) -> dict[EventKey, UUID]:
        """Give the payment of each event: the one it names, else the one whose own intent it is about."""
        intents = {(e.provider, e.intent_id) for e in work if e.payment_id is None and e.intent_id is not None}
        found = await payments.of_intents(connection, intents) if intents else {}
        named = {event.key: event.payment_id or found.get((event.provider, event.intent_id or "")) for event in work}
        return {key: payment_id for key, payment_id in named.items() if payment_id is not None}

    def _fold_in(
        self, fold: Fold, event: ProviderEvent, payment_id: UUID | None, known: Mapping[UUID, object]
    ) -> events.Result:
        if event.fact is None:
            return events.Result(event=event, processed=False, result="malformed", parked_reason="malformed")
        if payment_id is None or (payment_id not in fold and payment_id not in known):
            return events.Result(event=event, processed=False, result="unmatched", retry_s=1.0, tried=1)
        if payment_id not in fold:
            return events.Result(
                event=event, processed=False, result="waiting", retry_s=LOCKED_RETRY_S, payment_id=payment_id
            )
        if event.provider != fold.payment(payment_id).provider:
            reason = "another_provider"
            return events.Result(
                event=event, processed=False, result=reason, parked_reason=reason, payment_id=payment_id
            )
        return replace(_result(event, fold.take(payment_id, event.fact)), payment_id=payment_id)

    def _translate(self, waiting: PendingEvent) -> ProviderEvent:
        """Read a stored event again; one that its provider can't read waits for a person."""
        try:
            return self._context.providers.named(waiting.provider).translate(json.loads(waiting.payload))
        except Exception as error:  # noqa: BLE001 - a provider may be anybody's code, and must stop no other's events
            log.error("event_not_translated", event_id=waiting.event_id, error=type(error).__name__)
        return ProviderEvent(
            provider=waiting.provider,
            event_id=waiting.event_id,
            event_type="",
            occurred_at=int(waiting.occurred_at.timestamp()),
            payload=waiting.payload,
            disposition=Disposition.APPLY,
            payment_id=None,
            intent_id=None,
            fact=None,
        )

    def _age(self, result: events.Result, waiting: PendingEvent) -> events.Result:
        """What can't be applied yet is tried ever less often; without a payment it is parked at last, or was not ours."""
        if result.result not in {"unmatched", "too_early"}:
            return result
        if self._context.now() - waiting.stored_at > UNMATCHED_KEPT:
            if result.result == "unmatched" and result.event.payment_id is None:
                return replace(result, processed=True, result="foreign", retry_s=None)
            return replace(result, parked_reason=result.result, retry_s=None)
        return replace(result, retry_s=min(UNMATCHED_RETRY_MAX_S, 2.0 ** min(waiting.tries, 12)))


def _result(event: ProviderEvent, verdict: AnyVerdict) -> events.Result:
    match verdict:
        case Applied() | RefundsChanged() | DisputeChanged():
            return events.Result(event=event, processed=True, result="applied")
        case Ignored():
            return events.Result(event=event, processed=True, result="known")
        case Stray():
            return events.Result(event=event, processed=True, result="stray")
        case ReadRefunds() if isinstance(event.fact, RefundsMoved):
            # It has done what it can: the read that it asked for tells more than it.
            return events.Result(event=event, processed=True, result="applied")
        case ReadIntent() | ReadRefunds():
            return events.Result(event=event, processed=False, result="too_early", retry_s=1.0, tried=1)
        case NotRefundable(code=code):
            return events.Result(event=event, processed=False, result=code, parked_reason=code)
        case Parked(reason=reason):
            return events.Result(event=event, processed=False, result=reason, parked_reason=reason)


def _answer(group: Sequence[_Delivery], error: Exception | None) -> None:
    for delivery in group:
        if delivery.done.done():
            continue
        if error is None:
            delivery.done.set_result(None)
        else:
            delivery.done.set_exception(error)
