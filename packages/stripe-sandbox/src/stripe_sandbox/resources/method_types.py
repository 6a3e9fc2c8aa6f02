"""The types of payment methods that an intent may list (https://docs.stripe.com/api/payment_methods/object)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stripe_sandbox.errors import ApiError, invalid
from stripe_sandbox.wire import not_covered
from stripe_sandbox.wire.parameters import array, text


@dataclass(frozen=True, slots=True)
class method_types:  # noqa: N801 (used like a function in schemas, as the others are)
    """A list of Stripe's types. The others beside a covered one are kept: the customer pays by that one."""

    covered: tuple[str, ...]

    def __call__(self, raw: Any, name: str) -> list[str]:
        types: list[str] = array(text())(raw, name)
        others = not_covered.values_of("POST /v1/payment_methods", "type")
        for kind in types:
            if kind not in self.covered and kind not in others:
                raise _unknown(kind, name)
        if types and not any(kind in self.covered for kind in types):
            raise not_covered.not_covered(f"The value {types[0]} of {name}[0]", param=f"{name}[0]")
        return types


def _unknown(kind: str, name: str) -> ApiError:
    return invalid(
        f"The payment method type provided: {kind} is invalid. Please ensure the provided type is activated in your"
        " dashboard (https://dashboard.stripe.com/account/payments/settings) and your account is enabled for any preview"
        " features that you are trying to use.",
        name,
    )
