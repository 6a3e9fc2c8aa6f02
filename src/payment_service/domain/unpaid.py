"""Why a payment ended unpaid: the code and the sentence that are announced, by what the provider says of the cancellation.

https://docs.stripe.com/api/payment_intents/object#payment_intent_object-cancellation_reason
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# The words that our own triggers give.
ABANDONED: Final = "abandoned"
ORDER_CANCELLED: Final = "requested_by_customer"

_OUTCOMES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "": ("canceled", "The payment was canceled before the customer paid."),
        ABANDONED: ("expired", "The customer did not pay in time."),
        ORDER_CANCELLED: ("order_cancelled", "The order was cancelled before it was paid."),
    }
)
_AUTHORIZATION_EXPIRED: Final = ("authorization_expired", "The authorization expired before a capture.")
# The provider's own doing: the end of a hold, or after too many attempts.
_AUTOMATIC: Final = frozenset({"automatic", "expired"})

# Every word that is told apart.
CANCELLATION_REASONS: Final = (*(word for word in _OUTCOMES if word), *sorted(_AUTOMATIC))


def unpaid_outcome(reason: str, *, authorized: bool) -> tuple[str, str]:
    """Give code and sentence. `why`: the provider's word; `authorized`: the money was."""
    if authorized and reason in _AUTOMATIC:
        return _AUTHORIZATION_EXPIRED
    return _OUTCOMES.get(reason, _OUTCOMES[""])
