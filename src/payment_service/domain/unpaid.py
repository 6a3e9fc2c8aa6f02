"""The events, code and reason that are published when a payment ends unpaid, by the provider's cancellation reason.

https://docs.stripe.com/api/payment_intents/object#payment_intent_object-cancellation_reason
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from payment_service.domain.payment_event import PaymentEvent
from payment_service_events.published_events import Canceled, Failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payment_service_events.money import Money

# The reasons that the service itself sends.
ABANDONED: Final = "abandoned"
ORDER_CANCELLED: Final = "requested_by_customer"

_OUTCOMES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "": ("canceled", "The payment was canceled before the customer paid."),
        ABANDONED: ("expired", "The customer did not pay in time."),
        ORDER_CANCELLED: ("order_cancelled", "The order was canceled before it was paid."),
    }
)
_AUTHORIZATION_EXPIRED: Final = ("authorization_expired", "The authorization expired before a capture.")
# Set by the provider: an authorization expired, or too many attempts failed.
_AUTOMATIC: Final = frozenset({"automatic", "expired"})

# Every reason with a code of its own.
CANCELLATION_REASONS: Final = (*(word for word in _OUTCOMES if word), *sorted(_AUTOMATIC))


def unpaid_outcome(reason: str, *, authorized: bool) -> tuple[str, str]:
    """Return the code and reason to publish. `reason`: the provider's; `authorized`: the payment was authorized before."""
    if authorized and reason in _AUTOMATIC:
        return _AUTHORIZATION_EXPIRED
    return _OUTCOMES.get(reason, _OUTCOMES[""])


def cancellation_reason(code: str | None) -> str:
    """Return a reason whose published code is `code`; empty for a code without one."""
    return next((reason for reason, (known, _) in _OUTCOMES.items() if known == code), "")


def unpaid_events(amount: Money, cause: str, reason: str, *, authorized: bool) -> tuple[PaymentEvent, ...]:
    """Return the events of a payment of `amount` that was canceled, by the arguments of `unpaid_outcome`."""
    code, reason = unpaid_outcome(reason, authorized=authorized)
    return (
        PaymentEvent(cause, Canceled(amount=amount, reason=reason)),
        PaymentEvent(cause, Failed(amount=amount, reason=reason, code=code, final=True)),
    )
