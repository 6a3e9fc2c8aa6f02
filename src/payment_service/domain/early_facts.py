"""Facts about captured money that come before the intent or the capture they depend on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from payment_service.domain.payment import Parked

if TYPE_CHECKING:
    from payment_service.domain.payment import Payment


@dataclass(frozen=True, slots=True)
class ReadIntent:
    """The fact depends on an unknown intent or capture: read the intent, then apply the fact again."""

    intent_id: str


def check_intent(payment: Payment, intent_id: str, about: str) -> ReadIntent | Parked | None:
    """Return why a fact about captured money of an intent cannot be applied yet, or at all. Return None if it can.

    `about` names the fact. A payment without an intent may have this one: after a restored backup, events of the intent come
    before it is known.
    """
    if payment.provider_payment_id is None and not payment.status.ended:
        return ReadIntent(intent_id)
    if payment.provider_payment_id != intent_id:
        return Parked("unexpected_money", f"{about} belongs to {intent_id}, which is not the payment's own intent")
    if payment.captured.minor == 0:
        return ReadIntent(intent_id)
    return None
