"""Turn a batch of order records into payments with `create` operations, or into quarantine with dead letters.

Each batch is one transaction. After it commits, every record is durable, so its offset may be committed.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from payment_service.contracts.incoming import InboundRecord
from payment_service.contracts.records import ORDERS_CREATED
from payment_service.crash_points import reached
from payment_service.db import operations, order_cancellations, payments, recovery
from payment_service.domain.facts_without_intent import FreeFact
from payment_service.domain.ids import operation_id, payment_id
from payment_service.domain.order import Order, Reason, Rejected
from payment_service.domain.unpaid import ORDER_CANCELLED, cancellation_reason
from payment_service.flows.calls.listing_windows import LOST_BEFORE
from payment_service.flows.intake.creates import Creates
from payment_service.flows.intake.quarantine import count_quarantined, quarantine_records
from payment_service.flows.intake.records import Acceptance, try_out
from payment_service.flows.state.system_operations import SYSTEM
from payment_service.provider.port import Kind, Request
from payment_service.provider.providers import UnknownProvider
from payment_service.telemetry import metrics, steps, traces
from payment_service_events.currency import currency
from payment_service_events.money import Money, MoneyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from payment_service.db.pool import Connection
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.fold import Fold

# The provider name of an order of total 0.
NO_PROVIDER: Final = "none"
# The expiry setting for payments that never expire.
NEVER: Final = timedelta()
# How far back intents are listed for an order of unknown age. A longer list is not completed within a call.
_LISTED_MAX: Final = timedelta(days=7)
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class _Plan:
    """The payment to create if the order is new. `request` is None if nothing is to be paid.

    `refused`: why no payment can be created. It is ignored if the order already has a payment. `now` is the database's.
    """

    inbound_record: InboundRecord
    order: Order
    id: UUID
    provider: str
    request: Request | None
    now: datetime
    refused: Rejected | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms under which an order would be accepted now. `expires_at` is None if it never expires."""

    order: Order
    provider: str
    manual_capture: bool
    expires_at: datetime | None


class OrderIntake:
    """Accept batches.

    `manual_capture` and `expires_after` apply to orders and providers that set no value of their own.
    """

    def __init__(
        self,
        context: Context,
        *,
        order_max_age: timedelta,
        manual_capture: bool = False,
        expires_after: timedelta = NEVER,
    ) -> None:
        self._context = context
        self._order_max_age = order_max_age
        self._manual_capture = manual_capture
        self._expires_after = expires_after
        self._acceptance = Acceptance(self._accept, self._try_out)

    async def accept(self, inbound: Sequence[InboundRecord]) -> None:
        """Make a batch durable. Raise while the database fails; the batch must then be accepted again."""
        await self._acceptance.take(inbound)

    async def terms(self, inbound_record: InboundRecord) -> Terms | None:
        """Return the terms for the order of a record, or None if nothing is to be paid or the order would be rejected."""
        now = await self._context.database_now(self._context.pool)
        for plan in self._plan([inbound_record], now)[0]:
            if plan.request is not None and not self._too_old(plan):
                return Terms(
                    order=plan.order,
                    provider=plan.provider,
                    manual_capture=self._uses_manual_capture(plan.order, plan.provider),
                    expires_at=self._expires_at(plan),
                )
        return None

    async def decide(self, connection: Connection, inbound_record: InboundRecord) -> Rejected | None:
        """Decide a quarantined record again in the caller's transaction. Return the reason if it is rejected again."""
        plans, rejected = self._plan([inbound_record], await self._context.database_now(connection))
        inserted = await self._insert(connection, plans)
        rejected += await self._compare(connection, plans, inserted)
        await self._complete(connection, list(inserted.values()), Creates())
        return rejected[0][1] if rejected else None

    async def _try_out(self) -> None:
        """Raise if the database fails for orders that are in no topic: one to pay, and a free one."""
        await try_out(self._context.pool, self.decide, [_trial_order(total) for total in (100, 0)])

    async def _accept(self, inbound: Sequence[InboundRecord]) -> None:
        began_s = time.time()
        plans, rejected = self._plan(inbound, await self._context.database_now(self._context.pool))
        creates = await Creates.reserve(self._context, [plan.provider for plan in plans if plan.request])
        async with creates, self._context.pool.acquire() as connection, connection.transaction():
            inserted = await self._insert(connection, plans)
            rejected += await self._compare(connection, plans, inserted)
            fold = await self._complete(connection, list(inserted.values()), creates)
            quarantined = await quarantine_records(connection, rejected)
            reached("intake.commit.before")
        reached("intake.commit.after")
        self._context.after_commit(fold)
        self._count(inbound, len(inserted), quarantined)
        _report(inserted.values(), began_s)
        if creates.waiting:
            self._context.wake_dispatcher()
        if quarantined:
            self._context.wake_relay()

    def _plan(
        self, inbound: Sequence[InboundRecord], now: datetime
    ) -> tuple[list[_Plan], list[tuple[InboundRecord, Rejected]]]:
        plans: list[_Plan] = []
        rejected: list[tuple[InboundRecord, Rejected]] = []
        for inbound_record in inbound:
            if isinstance(inbound_record.decoded, Order):
                plans.append(self._plan_one(inbound_record, inbound_record.decoded, now))
            elif isinstance(inbound_record.decoded, Rejected):
                rejected.append((inbound_record, inbound_record.decoded))
        # Sorted by id, so that two intakes with the same orders cannot deadlock.
        return sorted(plans, key=lambda plan: plan.id), rejected

    def _plan_one(self, inbound_record: InboundRecord, order: Order, now: datetime) -> _Plan:
        name = payment_id(self._context.deployment, order.order_id, 1)
        trace = _traceparent(inbound_record)
        if order.amount.minor == 0:
            return _Plan(inbound_record, order, name, NO_PROVIDER, None, now, traceparent=trace)
        try:
            provider = self._context.providers.for_order(order.provider, order.amount.currency.code)
            request = provider.create_request(
                payment_id=name,
                order_id=order.order_id,
                amount=order.amount,
                manual_capture=self._uses_manual_capture(order, provider.name),
                metadata=order.metadata,
            )
        except UnknownProvider as error:
            refused = Rejected(Reason.UNKNOWN_PROVIDER, str(error))
        except MoneyError as error:
            refused = Rejected(Reason.AMOUNT_NOT_CHARGEABLE, str(error))
        else:
            return _Plan(inbound_record, order, name, provider.name, request, now, traceparent=trace)
        return _Plan(inbound_record, order, name, NO_PROVIDER, None, now, refused)

    async def _insert(self, connection: Connection, plans: Sequence[_Plan]) -> dict[UUID, _Plan]:
        """Insert the first plan of each recent payment. Return the plans that were new."""
        first: dict[UUID, _Plan] = {}
        for plan in plans:
            if plan.refused is None and not self._too_old(plan):
                first.setdefault(plan.id, plan)
        if not first:
            return {}
        new = await payments.insert(connection, [self._new_payment(plan) for plan in first.values()])
        return {name: plan for name, plan in first.items() if name in new}

    async def _compare(
        self, connection: Connection, plans: Sequence[_Plan], inserted: Mapping[UUID, _Plan]
    ) -> list[tuple[InboundRecord, Rejected]]:
        """Return rejections for orders that were not inserted. Repeated orders need no action."""
        rest = [plan for plan in plans if inserted.get(plan.id) is not plan]
        known = await payments.of_orders(connection, [plan.order.order_id for plan in rest]) if rest else {}
        rejected: list[tuple[InboundRecord, Rejected]] = []
        for plan in rest:
            before = known.get(plan.order.order_id)
            if before is None and plan.refused is not None:
                rejected.append((plan.inbound_record, plan.refused))
            elif before is None:
                age = f"The order is older than {self._order_max_age} and has no payment: send it again if it is still valid."
                rejected.append((plan.inbound_record, Rejected(Reason.TOO_OLD, age)))
            elif before.amount != plan.order.amount:
                detail = f"The order was accepted with {before.amount} and now has {plan.order.amount}: use another order_id for a changed order."
                rejected.append((plan.inbound_record, Rejected(Reason.ORDER_CHANGED, detail)))
            elif plan.order.amount.minor and plan.order.provider not in {None, before.provider}:
                detail = f"The order is paid through {before.provider} and now names another provider: use another order_id for a changed order."
                rejected.append((plan.inbound_record, Rejected(Reason.ORDER_CHANGED, detail)))
        return rejected

    async def _complete(self, connection: Connection, plans: Sequence[_Plan], creates: Creates) -> Fold:
        """Queue the creates, mark free orders as paid, and withdraw creates of orders that were canceled before they arrived."""
        free = [plan for plan in plans if plan.request is None]
        canceled = {
            plan.id: ORDER_CANCELLED
            for plan in await self._canceled_before(connection, [plan for plan in plans if plan.request])
        }
        # A consumer knows the end of these payments, so no intent may be created for them.
        ended = await recovery.canceled_before(connection, [plan.id for plan in plans])
        canceled |= {name: cancellation_reason(code) for name, code in ended.items()}
        calls = [self._new_operation(plan, plan.request) for plan in plans if plan.request]
        await creates.enqueue(connection, calls, withdrawn=canceled)
        locked = await payments.lock_available(connection, [plan.id for plan in free]) if free else {}
        fold = self._context.fold(locked)
        for plan in free:
            at = plan.order.recorded_at or plan.now
            fold.take(plan.id, FreeFact(at=int(at.timestamp())))
        await fold.write(connection)
        return fold

    async def _canceled_before(self, connection: Connection, plans: Sequence[_Plan]) -> list[_Plan]:
        if not plans:
            return []
        canceled = await order_cancellations.resume_waiting(connection, [plan.order.order_id for plan in plans])
        return [plan for plan in plans if plan.order.order_id in canceled]

    def _too_old(self, plan: _Plan) -> bool:
        recorded_at = plan.order.recorded_at
        return recorded_at is not None and plan.now - recorded_at > self._order_max_age

    def _uses_manual_capture(self, order: Order, provider: str) -> bool:
        """Return whether to capture manually. Providers without manual capture always capture immediately."""
        wanted = self._manual_capture if order.manual_capture is None else order.manual_capture
        return wanted and self._context.providers.supports_manual_capture(provider)

    def _expires_at(self, plan: _Plan) -> datetime | None:
        after = self._context.providers.expires_after(plan.provider, self._expires_after)
        if plan.order.expires_at is not None or after == NEVER:
            return plan.order.expires_at
        return plan.now + after

    def _new_payment(self, plan: _Plan) -> payments.NewPayment:
        inbound_record = plan.inbound_record
        return payments.NewPayment(
            id=plan.id,
            order_id=plan.order.order_id,
            user_id=plan.order.user_id,
            provider=plan.provider,
            amount=plan.order.amount,
            topic=inbound_record.topic,
            partition=inbound_record.partition,
            offset=inbound_record.offset,
            traceparent=plan.traceparent,
            manual_capture=plan.request is not None and self._uses_manual_capture(plan.order, plan.provider),
            metadata=plan.order.metadata,
            expires_at=self._expires_at(plan) if plan.request else None,
        )

    def _new_operation(self, plan: _Plan, request: Request) -> operations.NewOperation:
        """Build the create. A late order may have an intent from a row that a restored backup lost, so look first.

        An order without a time, or from the future, has an unknown age, up to the maximum.
        """
        recorded_at = plan.order.recorded_at
        if recorded_at is None or recorded_at > plan.now + LOST_BEFORE:
            recorded_at = plan.now - min(self._order_max_age, _LISTED_MAX)
        late = plan.now - recorded_at > LOST_BEFORE
        return operations.NewOperation(
            id=operation_id(plan.id, Kind.CREATE, SYSTEM, "order"),
            payment_id=plan.id,
            provider=plan.provider,
            kind=Kind.CREATE,
            cause="order",
            request=request,
            look_first=late,
            made_since=min(recorded_at, plan.now),
        )

    def _count(
        self, inbound: Sequence[InboundRecord], accepted: int, quarantined: Sequence[tuple[InboundRecord, Rejected]]
    ) -> None:
        arrived = len(inbound)
        metrics.BATCH_SIZE.labels("intake").observe(arrived)
        oldest_ms = min((a.timestamp_ms for a in inbound if a.timestamp_ms > 0), default=None)
        if oldest_ms is not None:
            metrics.STAGE_SECONDS.labels("order_to_accepted").observe(
                max(0.0, self._context.now().timestamp() - oldest_ms / 1000)
            )
        metrics.ORDERS.labels("accepted").inc(accepted)
        metrics.ORDERS.labels("quarantined").inc(len(quarantined))
        metrics.ORDERS.labels("repeated").inc(arrived - accepted - len(quarantined))
        count_quarantined(quarantined)


def _trial_order(minor: int) -> InboundRecord:
    amount = Money(minor, currency("usd"))
    order = Order(order_id=f"intake-trial-{minor}", user_id="", amount=amount, recorded_at=None)
    return InboundRecord(
        topic=ORDERS_CREATED, partition=-1, offset=-1, timestamp_ms=-1, key=None, value=None, decoded=order
    )


def _traceparent(inbound_record: InboundRecord) -> str | None:
    """Return the trace of a record. While traces are on, a record without one begins its own."""
    for name, content in inbound_record.headers:
        if name == "traceparent" and content is not None and _TRACEPARENT.fullmatch(content):
            return content.decode()
    if (span := traces.begin("order_received", kind="consumer")) is None:
        return None
    span.end()
    return span.traceparent


def _report(plans: Iterable[_Plan], began_s: float) -> None:
    if not steps.wanted():
        return
    for plan in plans:
        record = plan.inbound_record
        steps.took(
            "order_accepted",
            began_s=began_s,
            payment_id=plan.id,
            parent=plan.traceparent,
            span_kind="consumer",
            order_id=plan.order.order_id,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )
