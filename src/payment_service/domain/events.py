"""What is announced of a payment. Each kind goes to the topic of its name.

`cause` names the provider's object and the state it reached, never an event or an operation: the same fact learned twice,
by another way or by another replica, is announced under the same record id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from payment_service.domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Initiated:
    """The customer can pay now. `method` is the only method offered, else `unknown`."""

    topic: ClassVar[str] = "payments.initiated"
    cause: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """Money was captured. `paid_at`: the provider's clock, seconds; `intent_id` is empty where no provider was needed."""

    topic: ClassVar[str] = "payments.succeeded"
    cause: str
    captured: Money
    method: str
    paid_at: int
    intent_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An attempt was declined (`final` false: the customer may try again), or the payment ended unpaid (`final` true)."""

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


Announcement = Initiated | Succeeded | Failed | Canceled
