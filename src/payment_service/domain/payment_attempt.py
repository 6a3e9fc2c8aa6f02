"""The attempts of a customer to pay, as the provider reported them. They decide nothing: people and reports read them.

Each field is a fact that never changes once the provider has reported it. So attempts are merged field by field, and the
result depends neither on the order nor on the repetition of reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from payment_service_events.money import Money


class AttemptStatus(StrEnum):
    """The result of an attempt. `pending`: a bank has not decided yet."""

    PENDING = "pending"
    DECLINED = "declined"
    SUCCEEDED = "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedMethod:
    """The payment method of an attempt. None: not reported. `last4`: the only digits of a card that are ever stored."""

    id: str | None = None
    type: str | None = None
    brand: str | None = None
    last4: str | None = None
    funding: str | None = None
    country: str | None = None
    wallet: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAttempt:
    """An attempt. `name`: the id of its charge, else of the event that reported a decline without a charge.

    `code` and `reason`: why it was declined. `at`: the provider's clock, seconds.
    """

    name: str
    charge_id: str | None
    status: AttemptStatus
    amount: Money
    at: int
    method: UsedMethod = field(default_factory=UsedMethod)
    code: str | None = None
    reason: str | None = None
    receipt_url: str | None = None


def merge(known: PaymentAttempt, more: PaymentAttempt) -> PaymentAttempt:
    """Add what another report of the same attempt shows. `db/payment_attempts.sql` does the same to a stored row."""
    return replace(
        known,
        status=more.status if known.status is AttemptStatus.PENDING else known.status,
        at=min(known.at, more.at),
        method=UsedMethod(**_first_of(known.method, more.method)),
        code=known.code or more.code,
        reason=known.reason or more.reason,
        receipt_url=known.receipt_url or more.receipt_url,
    )


def _first_of(known: UsedMethod, more: UsedMethod) -> dict[str, Any]:
    return {one.name: getattr(known, one.name) or getattr(more, one.name) for one in fields(UsedMethod)}
