"""What was set aside is decided again, by the code that decides what comes in: after a defect or a limit was mended.

The decision, its effect and the mark on the row are one transaction, so that nothing is accepted twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.contracts.incoming import decode
from payment_service.contracts.records import ORDERS_CANCELLED
from payment_service.db import payments, quarantine
from payment_service.domain.order import Order, Reason
from payment_service.flows.intake.records import InboundRecord
from payment_service.flows.requests.idempotency import ChangeResult, change_once
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.provider.port import BodyRefused, Receiver
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

# What stands for the signature of an event that was verified when it came.
VERIFIED_BY: Final = "quarantine"
_OWN_HEADER: Final = "dlq_"
# A digit of a card number that was found and masked.
_MASK: Final = b"****"


class Replays:
    """Decides again. `amount_minor_max`: the largest order accepted, minor units."""

    def __init__(
        self,
        context: Context,
        *,
        intake: OrderIntake,
        cancelled: OrderCancellationIntake,
        webhooks: Webhooks,
        amount_minor_max: int,
    ) -> None:
        self._context = context
        self._intake = intake
        self._cancelled = cancelled
        self._webhooks = webhooks
        self._amount_minor_max = amount_minor_max

    def terms(self, kept: QuarantinedRecord) -> Terms | None:
        """Say how the order that a row holds would be taken; None: it holds none that would be. Raises Refusal."""
        if kept.source == "webhook" or kept.replayed_at is not None:
            return None
        _require_whole(kept)
        return self._intake.terms(self._arrival(kept))

    async def replay(self, name: UUID, change_request: ChangeRequest) -> ChangeResult:
        """Decide one row again. Raises Refusal where it is refused again, with the reason."""

        async def work(connection: Connection) -> ChangeResult:
            kept = await quarantine.lock(connection, name)
            if kept is None:
                raise Refusal(
                    RefusalReason.NOT_FOUND, "Nothing of this id is in quarantine: `quarantine list` shows what is."
                )
            if kept.replayed_at is not None:
                return _answer(name, None, "accepted_before")
            _require_whole(kept)
            took = await (self._webhook if kept.source == "webhook" else self._record)(connection, kept)
            await quarantine.mark_replayed(connection, name)
            return _answer(name, took, "accepted")

        answer = await change_once(self._context.pool, change_request, work)
        self._context.wake()
        return answer

    async def _record(self, connection: Connection, kept: QuarantinedRecord) -> UUID | None:
        inbound_record = self._arrival(kept)
        decide = self._cancelled.decide if inbound_record.topic == ORDERS_CANCELLED else self._intake.decide
        rejected: Rejected | None = await decide(connection, inbound_record)
        if rejected is not None:
            raise Refusal(RefusalReason.NOT_ALLOWED, f"It is refused again ({rejected.reason}). {rejected.detail}")
        order = inbound_record.decoded
        payment = await payments.last_of_order(connection, order.order_id) if isinstance(order, Order) else None
        return payment.id if payment else None

    def _arrival(self, kept: QuarantinedRecord) -> InboundRecord:
        """The record as it was consumed: what was added to its headers is taken away again."""
        topic, at = kept.topic or "", kept.recorded_at
        timestamp_ms = int(at.timestamp() * 1000) if at else -1
        decoded = decode(topic, kept.value, timestamp_ms=timestamp_ms, amount_minor_max=self._amount_minor_max)
        return InboundRecord(
            topic=topic,
            partition=kept.partition or 0,
            offset=kept.offset or 0,
            timestamp_ms=timestamp_ms,
            key=kept.key,
            value=kept.value,
            headers=tuple(header for header in kept.headers if not header[0].startswith(_OWN_HEADER)),
            decoded=decoded,
        )

    async def _webhook(self, connection: Connection, kept: QuarantinedRecord) -> UUID | None:
        provider: object = self._context.providers.by_name.get(webhook_provider(kept))
        if not isinstance(provider, Receiver):
            raise Refusal(
                RefusalReason.NOT_ALLOWED, "The provider that sent it does not run here: add it to PROVIDERS."
            )
        try:
            event = provider.translate(provider.parse(kept.value or b""))
        except BodyRefused as refusal:
            raise Refusal(RefusalReason.NOT_ALLOWED, f"It is refused again ({refusal.reason}). {refusal}") from None
        await self._webhooks.store_within(connection, [(event, VERIFIED_BY)], alone=True)
        return event.payment_id


def webhook_provider(kept: QuarantinedRecord) -> str:
    """Say which provider sent a webhook that was set aside; before there were several, it was Stripe."""
    return kept.topic or STRIPE


def _require_whole(kept: QuarantinedRecord) -> None:
    """Raise Refusal for what is not what was sent, and so might mean something else."""
    if kept.reason == Reason.CARD_NUMBER or _MASK in (kept.value or b""):
        message = "Card numbers were masked in it, so it is not what was sent: have it sent again without them."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
    if kept.reason == Reason.TOO_LARGE and b'"sha256"' in (kept.value or b"")[:1_000]:
        raise Refusal(
            RefusalReason.NOT_ALLOWED, "It was too large to be kept, only where it stood is: have it sent again."
        )


def _answer(name: UUID, took: UUID | None, done: str) -> ChangeResult:
    return ChangeResult({"id": str(name), "payment_id": str(took) if took else None, "done": done})
