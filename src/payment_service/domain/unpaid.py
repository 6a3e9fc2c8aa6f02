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

_ENDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "": ("canceled", "The payment was canceled before the customer paid."),
        ABANDONED: ("expired", "The customer did not pay in time."),
        ORDER_CANCELLED: ("order_cancelled", "The order was cancelled before it was paid."),
    }
)
_HOLD_ENDED: Final = ("authorization_expired", "The money was held and not captured in time.")
# The provider's own doing: the end of a hold, or after too many attempts.
_AUTOMATIC: Final = frozenset({"automatic", "expired"})

# Every word that is told apart.
WORDS: Final = (*(word for word in _ENDS if word), *sorted(_AUTOMATIC))


def ends_unpaid(reason: str, *, held: bool) -> tuple[str, str]:
    """Give code and sentence. `why`: the provider's word; `held`: the money was."""
    if held and reason in _AUTOMATIC:
        return _HOLD_ENDED
    return _ENDS.get(reason, _ENDS[""])
