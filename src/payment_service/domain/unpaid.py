"""The code and reason that are published when a payment ends unpaid, by the provider's cancellation reason.

https://docs.stripe.com/api/payment_intents/object#payment_intent_object-cancellation_reason
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

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
