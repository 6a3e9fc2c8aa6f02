"""Decide quarantined records again with the intake's own code, after a defect or a limit was fixed.

The decision, its effect and the mark on the row are one transaction, so nothing is accepted twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.contracts.incoming import InboundRecord, decode
from payment_service.contracts.records import ORDERS_CANCELLED
from payment_service.db import payments, quarantine
from payment_service.domain.order import Order, Reason
from payment_service.flows.requests.idempotency import ChangeResult, change_once
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.provider.port import BodyRefused, WebhookReceiver
from payment_service.provider.stripe.webhooks import PROVIDER as STRIPE

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Connection
    from payment_service.db.quarantine import QuarantinedRecord
    from payment_service.domain.order import Rejected
    from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
    from payment_service.flows.intake.orders import OrderIntake, Terms
    from payment_service.flows.requests.idempotency import ChangeRequest
    from payment_service.flows.state.context import Context
    from payment_service.flows.webhooks.apply import Webhooks

# The verifier of an event whose signature was checked when it arrived.
VERIFIED_BY: Final = "quarantine"
_OWN_HEADER: Final = "dlq_"
# The mask for digits of a card number.
_MASK: Final = b"****"


class Replays:
    """Decide rows again.

    `amount_minor_max`: the largest order accepted, in minor units. `card_like_ids`: accept ids that look like card numbers.
    """

    def __init__(
        self,
        context: Context,
        *,
        intake: OrderIntake,
        cancelled: OrderCancellationIntake,
        webhooks: Webhooks,
        amount_minor_max: int,
        card_like_ids: bool = False,
    ) -> None:
        self._context = context
        self._intake = intake
        self._cancelled = cancelled
        self._webhooks = webhooks
        self._amount_minor_max = amount_minor_max
        self._card_like_ids = card_like_ids

    async def terms(self, row: QuarantinedRecord, read_again: InboundRecord | None = None) -> Terms | None:
        """Return the terms for the order in a row, or None if it contains none or would be rejected. Raise Refusal."""
        if row.source == "webhook" or row.replayed_at is not None:
            return None
        _require_whole(row)
        return await self._intake.terms(read_again or self._inbound_record(row))

    async def replay(
        self, name: UUID, change_request: ChangeRequest, read_again: InboundRecord | None = None
    ) -> ChangeResult:
        """Decide one row again. Raise Refusal, with the reason, if it is rejected again.

        `read_again` is the record of a row that was set aside unread.
        """

        async def work(connection: Connection) -> ChangeResult:
            row = await quarantine.lock(connection, name)
            if row is None:
                raise Refusal(
                    RefusalReason.NOT_FOUND,
                    "Nothing in quarantine has this id: `attention list --what quarantine` shows the items.",
                )
            if row.replayed_at is not None:
                return _answer(name, None, "accepted_before")
            _require_whole(row)
            if row.source == "webhook":
                payment_id = await self._webhook(connection, row)
            else:
                payment_id = await self._record(connection, read_again or self._inbound_record(row))
            await quarantine.mark_replayed(connection, name)
            return _answer(name, payment_id, "accepted")

        result = await change_once(self._context.pool, change_request, work)
        self._context.wake()
        return result

    async def _record(self, connection: Connection, inbound_record: InboundRecord) -> UUID | None:
        decide = self._cancelled.decide if inbound_record.topic == ORDERS_CANCELLED else self._intake.decide
        rejected: Rejected | None = await decide(connection, inbound_record)
        if rejected is not None:
            raise Refusal(RefusalReason.NOT_ALLOWED, f"It is rejected again ({rejected.reason}). {rejected.detail}")
        order = inbound_record.decoded
        payment = await payments.last_of_order(connection, order.order_id) if isinstance(order, Order) else None
        return payment.id if payment else None

    def _inbound_record(self, row: QuarantinedRecord) -> InboundRecord:
        """Rebuild the record as it was consumed, without the headers added in quarantine."""
        topic, at = row.topic or "", row.recorded_at
        timestamp_ms = int(at.timestamp() * 1000) if at else -1
        decoded = decode(
            topic,
            row.value,
            timestamp_ms=timestamp_ms,
            amount_minor_max=self._amount_minor_max,
            card_like_ids=self._card_like_ids,
        )
        return InboundRecord(
            topic=topic,
            partition=row.partition or 0,
            offset=row.offset or 0,
            timestamp_ms=timestamp_ms,
            key=row.key,
            value=row.value,
            headers=tuple(header for header in row.headers if not header[0].startswith(_OWN_HEADER)),
            decoded=decoded,
        )

    async def _webhook(self, connection: Connection, row: QuarantinedRecord) -> UUID | None:
        provider: object = self._context.providers.by_name.get(webhook_provider(row))
        if not isinstance(provider, WebhookReceiver):
            raise Refusal(
                RefusalReason.NOT_ALLOWED, "The provider that sent it is not configured: add it to PROVIDERS."
            )
        try:
            event = provider.translate(provider.parse(row.value or b""))
        except BodyRefused as refusal:
            raise Refusal(RefusalReason.NOT_ALLOWED, f"It is rejected again ({refusal.reason}). {refusal}") from None
        await self._webhooks.store_within(connection, [(event, VERIFIED_BY)], alone=True)
        return event.payment_id


def webhook_provider(row: QuarantinedRecord) -> str:
    """Return the provider that sent a quarantined webhook. A row without a topic is from Stripe."""
    return row.topic or STRIPE


def _require_whole(row: QuarantinedRecord) -> None:
    """Raise Refusal if a row differs from what was sent, because it might mean something else."""
    if row.reason == Reason.CARD_NUMBER or _MASK in (row.value or b""):
        message = (
            "Its card numbers were masked, so it differs from what was sent: ask the sender to repeat it without them."
        )
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
    if row.reason == Reason.TOO_LARGE and b'"sha256"' in (row.value or b"")[:1_000]:
        raise Refusal(
            RefusalReason.NOT_ALLOWED,
            "It was too large to store, only its position is known: ask the sender to repeat it.",
        )


def _answer(name: UUID, payment_id: UUID | None, done: str) -> ChangeResult:
    payment = str(payment_id) if payment_id else None
    return ChangeResult({"what": "quarantine", "id": str(name), "payment_id": payment, "done": done})
