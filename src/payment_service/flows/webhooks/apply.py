"""Store and apply a group of verified events in one transaction, and acknowledge them after its commit.

Events are written first, in the order of their ids. Then the available payments are locked in the order of theirs. An
event whose payment is locked or unknown stays pending, and a loop applies it with the same code.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter as Count
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.crash_points import reached
from payment_service.db import events, payments
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.domain.dispute import DisputeChanged
from payment_service.domain.early_facts import ReadIntent
from payment_service.domain.payment import Applied, ChargeFact, Ignored, IntentFact, Parked, Status, Stray
from payment_service.domain.refund import NotRefundable, ReadRefunds, RefundsChanged, RefundTotalFact
from payment_service.flows.intake.quarantine import quarantine_event
from payment_service.flows.state.batches import isolate_errors, process_batches
from payment_service.flows.state.errors import Unavailable
from payment_service.flows.webhooks.deliveries import Delivery, DeliveryQueue, complete, deliver, storing_loop
from payment_service.flows.webhooks.reports import report_applied, report_stored
from payment_service.loop import Loop
from payment_service.provider.port import Disposition, ProviderEvent
from payment_service.telemetry import metrics
from payment_service.telemetry.errors import error_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from prometheus_client import Counter

    from payment_service.db.events import PendingEvent
    from payment_service.db.pool import Connection
    from payment_service.domain.facts import AnyVerdict
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold
    from payment_service.provider.port import EventKey

log = structlog.get_logger(__name__)

# The verifier of events that were read from the provider: TLS and the API key, not a signature.
READ: Final = "read"
# While the database stores a group, the next one is read. A third would only wait for the other two.
GROUPS_UNDER_WAY: Final = 2
REPLAY_GROUP_MAX: Final = 100
# A lock on a payment lasts milliseconds.
LOCKED_RETRY_S: Final = 0.25
# The payment of such an event may come from a slow replica, or be lost by a restored backup. The delay doubles from 1 s
# to an hour, for 72 h.
UNMATCHED_RETRY_MAX_S: Final = 3_600.0
UNMATCHED_RETENTION: Final = timedelta(hours=72)
# A create is answered within seconds. An event that three tries did not match is probably of another system.
SUSPECT_FROM_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """The result of a transaction. `skipped`: events without a fact for us. `repeated`: number of known events."""

    fold: Fold
    results: tuple[events.Result, ...]
    skipped: tuple[Disposition, ...]
    repeated: int


class Webhooks:
    """Store and apply events in groups."""

    def __init__(self, context: Context, suspect: Callable[[Iterable[ProviderEvent]], None] = lambda _: None) -> None:
        """`suspect` gets the events that several tries could not match to a payment."""
        self._context = context
        self._suspect = suspect
        self._deliveries = DeliveryQueue()
        self._storing = [storing_loop(self.store_once, lambda: len(self._deliveries)) for _ in range(GROUPS_UNDER_WAY)]
        self.replaying = Loop("webhooks.replay", self.replay_once, interval_max_s=0.5)

    def start(self) -> None:
        """Start the loops that store and replay events."""
        for loop in (*self._storing, self.replaying):
            loop.start()

    async def stop(self) -> None:
        """Store what was delivered, then stop."""
        for loop in (self.replaying, *self._storing):
            await loop.stop()
        while self._deliveries:
            await self.store_once()

    def take(self, event: ProviderEvent, verified_by: str) -> asyncio.Future[None]:
        """Return a future that ends when the event is durable. Its error is Unavailable: the provider sends it again."""
        delivery = deliver(event, verified_by)
        self._deliveries.add(delivery)
        for storing in self._storing:
            storing.wake()
        return delivery.done

    async def store_once(self) -> int:
        """Store and apply the delivered events. Return their number."""
        group = self._deliveries.take_group()
        if not group:
            return 0
        metrics.BATCH_SIZE.labels("webhooks").observe(len(group))
        try:
            stored = await self._store_group(group, metrics.WEBHOOKS)
        finally:
            self._deliveries.release(group)
        if stored:
            waited_s = asyncio.get_running_loop().time() - group[0].arrived_s
            metrics.STAGE_SECONDS.labels("webhook_to_durable").observe(waited_s)
        return len(group)

    async def store_read(self, found: Sequence[ProviderEvent]) -> None:
        """Store and apply events that were read from the provider. Raise Unavailable if the database is."""
        group = [deliver(event, READ) for event in found]
        await self._store_group(group, metrics.EVENTS_READ)
        for failure in await asyncio.gather(*(delivery.done for delivery in group), return_exceptions=True):
            if failure is not None:
                raise failure

    async def _store_group(self, group: Sequence[Delivery], counter: Counter) -> bool:
        """Store a group, or each event alone if that fails. Return whether the group was stored at once."""
        began_s = time.time()
        try:
            stored = await self._store([(d.event, d.verified_by) for d in group], counter)
        except TRANSIENT_ERRORS as error:
            log.warning("webhooks_not_stored", size=len(group), **error_fields(error))
            complete(group, Unavailable())
        except Exception as error:  # noqa: BLE001 - one faulty event must not block the others
            log.warning("webhook_group_failed", size=len(group), **error_fields(error))
            for delivery in group:
                await self._store_alone(delivery, counter)
        else:
            complete(group, None)
            report_stored(group, stored.fold, stored.results, began_s)
            return True
        return False

    async def replay_once(self) -> int:
        """Apply pending events that are due. Return the number of events processed."""
        results = await process_batches(self._replay, REPLAY_GROUP_MAX, failure_event="replay_group_failed")
        return sum(result.processed for result in results)

    async def _replay(self, limit: int) -> list[events.Result]:
        began_s = time.time()
        async with self._context.pool.acquire() as connection, connection.transaction():
            work = await events.lock_pending(connection, self._context.providers.by_name.keys(), limit)
            waiting = {(w.provider, w.event_id): w for w in work}
            if not waiting:
                return []
            translated = [self._translate(w) for w in work]
            apply = self._apply if limit > 1 else self._apply_or_park
            fold, results = await apply(connection, translated)
            now = await self._context.database_now(connection)
            results = [self._schedule_retry(result, waiting[result.event.key], now) for result in results]
            await events.record_results(connection, results)
            reached("replay.commit.before")
        reached("replay.commit.after")
        self._context.after_commit(fold)
        report_applied(fold, results, began_s)
        self._suspect(
            result.event
            for result in results
            if result.result == "unmatched"
            and result.event.payment_id is None
            and waiting[result.event.key].tries >= SUSPECT_FROM_TRIES
        )
        return results

    async def _apply_or_park(
        self, connection: Connection, work: Sequence[ProviderEvent]
    ) -> tuple[Fold, list[events.Result]]:
        """Apply behind a savepoint. If that fails, keep the event locked and park it."""
        with isolate_errors("events_not_applicable", level=logging.ERROR, ids=[event.event_id for event in work]):
            async with connection.transaction():
                return await self._apply(connection, work)
        return self._context.fold({}), [
            events.Result(event=event, processed=False, result="not_applicable", parked_reason="not_applicable")
            for event in work
        ]

    async def apply_stored(
        self, connection: Connection, stored: Sequence[events.StoredEvent]
    ) -> tuple[Fold, list[events.Result]]:
        """Apply stored events again in the caller's transaction, and record no results. Skip those without a fact for us."""
        translated = [(self._translate(one), "") for one in stored]
        claimed = await self._claim_own_intents(connection, translated)
        # A total only requests a read of the refunds. A total that was applied before is out of date.
        spent = {(one.provider, one.event_id) for one in stored if one.processed}
        return await self._apply(
            connection,
            [
                event
                for event, _ in claimed
                if event.disposition is Disposition.APPLY
                and not (event.key in spent and isinstance(event.fact, RefundTotalFact))
            ],
        )

    async def store_within(
        self, connection: Connection, deliveries: Sequence[tuple[ProviderEvent, str]], *, alone: bool = False
    ) -> Stored:
        """Store and apply events, each with its verifier, in the caller's transaction. Call `after_commit` afterwards."""
        deliveries = await self._claim_own_intents(connection, deliveries)
        new = await events.insert(connection, deliveries)
        unique = {event.key: event for event, _ in deliveries if event.key in new}
        work = [event for event in unique.values() if event.disposition is Disposition.APPLY]
        apply = self._apply_or_park if alone else self._apply
        fold, results = await apply(connection, work)
        # Events are inserted as applied, under the payment that they name. The owner of the intent may be another.
        corrections = [r for r in results if r.result != "applied" or r.event.payment_id != r.payment_id]
        if corrections:
            await events.record_results(connection, corrections)
        skipped = tuple(e.disposition for e in unique.values() if e.disposition is not Disposition.APPLY)
        return Stored(fold, tuple(results), skipped, repeated=len(deliveries) - len(new))

    async def _claim_own_intents(
        self, connection: Connection, deliveries: Sequence[tuple[ProviderEvent, str]]
    ) -> Sequence[tuple[ProviderEvent, str]]:
        """Apply events without our metadata if they are about a payment's own intent."""
        intents = {
            (e.provider, e.intent_id) for e, _ in deliveries if e.disposition is Disposition.EXTERNAL and e.intent_id
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

    def after_commit(self, stored: Stored, counter: Counter = metrics.WEBHOOKS) -> None:
        """Count the committed changes and wake the loops that have work because of them."""
        self._context.after_commit(stored.fold)
        counter.labels("repeated").inc(stored.repeated)
        for result, number in Count((*stored.skipped, *(r.result for r in stored.results))).items():
            counter.labels(result).inc(number)

    async def _store(
        self, deliveries: Sequence[tuple[ProviderEvent, str]], counter: Counter, *, alone: bool = False
    ) -> Stored:
        async with self._context.pool.acquire() as connection, connection.transaction():
            stored = await self.store_within(connection, deliveries, alone=alone)
            reached("webhook.commit.before")
        reached("webhook.commit.after")
        self.after_commit(stored, counter)
        return stored

    async def _store_alone(self, delivery: Delivery, counter: Counter) -> None:
        try:
            await self._store([(delivery.event, delivery.verified_by)], counter, alone=True)
        except TRANSIENT_ERRORS:
            complete([delivery], Unavailable())
            return
        except Exception as error:  # noqa: BLE001 - the event is quarantined with the reason
            await self._quarantine(delivery, error)
            return
        complete([delivery], None)

    async def _quarantine(self, delivery: Delivery, error: Exception) -> None:
        event = delivery.event
        log.error("webhook_not_storable", event_id=event.event_id, error=type(error).__name__, detail=str(error)[:300])
        detail = f"The database rejected the event ({type(error).__name__}): report this as a bug."
        try:
            await quarantine_event(self._context.pool, event, detail)
        except Exception as failure:  # noqa: BLE001 - the sender must get a response and send the event again
            log.error("webhook_not_quarantined", event_id=event.event_id, **error_fields(failure))
            complete([delivery], Unavailable())
            return
        complete([delivery], None)

    async def _apply(self, connection: Connection, work: Sequence[ProviderEvent]) -> tuple[Fold, list[events.Result]]:
        names = await self._match_payments(connection, work)
        wanted = set(names.values())
        locked = await payments.lock_available(connection, wanted) if wanted else {}
        missing = wanted - locked.keys()
        known = await payments.existing(connection, missing) if missing else {}
        fold = self._context.fold(locked)
        ordered = sorted(work, key=_order)
        named = [(event, names.get(event.key)) for event in ordered]
        await fold.load_for(connection, [(key, e.fact) for e, key in named if key is not None and e.fact is not None])
        results = [self._fold_in(fold, event, key, known) for event, key in named]
        await fold.write(connection)
        return fold, results

    async def _match_payments(self, connection: Connection, work: Sequence[ProviderEvent]) -> dict[EventKey, UUID]:
        """Return the payment of each event: the owner of its intent, or else the named payment.

        Anybody with the dashboard can edit the metadata, and the intent of another payment would be canceled as a stray.
        """
        intents = {(e.provider, e.intent_id) for e in work if e.intent_id is not None}
        found = await payments.of_intents(connection, intents) if intents else {}
        named = {event.key: found.get((event.provider, event.intent_id or "")) or event.payment_id for event in work}
        return {key: payment_id for key, payment_id in named.items() if payment_id is not None}

    def _fold_in(
        self, fold: Fold, event: ProviderEvent, payment_id: UUID | None, known: Mapping[UUID, object]
    ) -> events.Result:
        if event.fact is None and event.read_again is None:
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
        if event.fact is None:
            return replace(_read_again(fold, event, payment_id), payment_id=payment_id)
        return replace(_result(event, fold.take(payment_id, event.fact)), payment_id=payment_id)

    def _translate(self, waiting: PendingEvent) -> ProviderEvent:
        """Translate a stored event again. An event that its provider cannot parse is parked.

        The row says which event it is, whatever the payload says.
        """
        occurred_at = int(waiting.occurred_at.timestamp())
        try:
            found = self._context.providers.named(waiting.provider).translate(json.loads(waiting.payload))
            return replace(found, provider=waiting.provider, event_id=waiting.event_id, occurred_at=occurred_at)
        except Exception as error:  # noqa: BLE001 - a third-party provider must not block the events of others
            log.error("event_not_translated", event_id=waiting.event_id, error=type(error).__name__)
        return ProviderEvent(
            provider=waiting.provider,
            event_id=waiting.event_id,
            event_type="",
            occurred_at=occurred_at,
            payload=waiting.payload,
            disposition=Disposition.APPLY,
            payment_id=None,
            intent_id=None,
            fact=None,
        )

    def _schedule_retry(self, result: events.Result, waiting: PendingEvent, now: datetime) -> events.Result:
        """Increase the delay of a pending event. After 72 h park it, or mark it as external if it names no payment."""
        if result.result not in {"unmatched", "too_early"}:
            return result
        if now - waiting.stored_at > UNMATCHED_RETENTION:
            if result.result == "unmatched" and result.event.payment_id is None:
                return replace(result, processed=True, result="external", retry_s=None)
            return replace(result, parked_reason=result.result, retry_s=None)
        return replace(result, retry_s=min(UNMATCHED_RETRY_MAX_S, 2.0 ** min(waiting.tries, 12)))


def _order(event: ProviderEvent) -> tuple[int, int, int, str]:
    """Order events by the provider's seconds. Within one, the intent begins, its charge is next, an older refund first.

    So the first records of a payment have the same content, whether a response or an event told of it first.
    """
    begins = isinstance(event.fact, IntentFact) and event.fact.status is Status.PENDING
    step = 0 if begins else 1 if isinstance(event.fact, ChargeFact) else 2
    return event.occurred_at, step, getattr(event.fact, "created_at", None) or 0, event.event_id


def _read_again(fold: Fold, event: ProviderEvent, payment_id: UUID) -> events.Result:
    """Enqueue a read of the event's object in our version. Without a known capture, that is read first."""
    payment, again = fold.payment(payment_id), event.read_again
    if again is None or (again.after_capture and payment.captured.minor == 0 and not payment.status.ended):
        fold.enqueue_own_read(payment_id, event.event_id)
        return events.Result(event=event, processed=False, result="too_early", retry_s=1.0, tried=1)
    fold.enqueue_read_again(payment_id, again.request, event.event_id)
    return events.Result(event=event, processed=True, result="read_again")


def _result(event: ProviderEvent, verdict: AnyVerdict) -> events.Result:
    match verdict:
        case Applied() | RefundsChanged() | DisputeChanged():
            return events.Result(event=event, processed=True, result="applied")
        case Ignored():
            return events.Result(event=event, processed=True, result="known")
        case Stray():
            return events.Result(event=event, processed=True, result="stray")
        case ReadRefunds() if isinstance(event.fact, RefundTotalFact):
            # The enqueued read returns more than this event contains.
            return events.Result(event=event, processed=True, result="applied")
        case ReadIntent() | ReadRefunds():
            return events.Result(event=event, processed=False, result="too_early", retry_s=1.0, tried=1)
        case NotRefundable(code=code):
            return events.Result(event=event, processed=False, result=code, parked_reason=code)
        case Parked(reason=reason):
            return events.Result(event=event, processed=False, result=reason, parked_reason=reason)
