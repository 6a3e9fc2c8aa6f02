"""The events that the service publishes about a payment. Each class has its own topic.

`cause` names the provider's object and the state it reached, never a webhook or an operation. The same fact from
another source, or from another replica, therefore produces an event with the same id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service_events.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Initiated:
    """The customer can pay now. `method`: the only method offered, else `unknown`."""

    topic: ClassVar[str] = "payments.initiated"
    cause: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """Money was captured. `paid_at`: the provider's clock, seconds. `intent_id` is empty for a free order."""

    topic: ClassVar[str] = "payments.succeeded"
    cause: str
    captured: Money
    method: str
    paid_at: int
    intent_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An attempt was declined (`final` false: the customer may retry), or the payment ended unpaid (`final` true)."""

    topic: ClassVar[str] = "payments.failed"
    cause: str
    code: str
    reason: str
    final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Canceled:
    """The payment was canceled at the provider."""

    topic: ClassVar[str] = "payments.canceled"
    cause: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorized:
    """The money is authorized and can be captured."""

    topic: ClassVar[str] = "payments.authorized"
    cause: str
    method: str
    intent_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundInitiated:
    """A refund was requested; it is pending."""

    topic: ClassVar[str] = "payments.refund_initiated"
    cause: str
    refund_id: UUID
    amount: Money
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    """`amount` was refunded; `total` includes earlier refunds. `full`: the whole captured amount is refunded."""

    topic: ClassVar[str] = "payments.refunded"
    cause: str
    refund_id: UUID
    amount: Money
    total: Money
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFailed:
    """The refund of `amount` failed. `total`: the sum of the successful refunds."""

    topic: ClassVar[str] = "payments.refund_failed"
    cause: str
    refund_id: UUID
    amount: Money
    total: Money
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """The customer's bank asks for the money (`stage` inquiry) or withdraws it (chargeback). `evidence_due_at`:
    seconds.
    """

    topic: ClassVar[str] = "payments.disputed"
    cause: str
    dispute: UUID
    stage: str
    amount: Money
    reason: str
    status: str
    evidence_due_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeClosed:
    """A dispute closed with `status`."""

    topic: ClassVar[str] = "payments.dispute_closed"
    cause: str
    dispute: UUID
    amount: Money
    reason: str
    status: str


PaymentEvent = (
    Initiated
    | Authorized
    | Succeeded
    | Failed
    | Canceled
    | RefundInitiated
    | Refunded
    | RefundFailed
    | Disputed
    | DisputeClosed
)
