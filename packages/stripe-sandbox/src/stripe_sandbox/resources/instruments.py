"""Test payment methods as data: how one looks, and how its bank decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from stripe_sandbox.errors import INVALID_REQUEST, Json, doc_url

CARD_ERROR = "card_error"


@dataclass(frozen=True, slots=True)
class Decline:
    """The issuer's decline; `code` is the error's code, `param` the field to correct.

    `failure_code` is the charge's code where it differs.
    """

    code: str
    decline_code: str | None
    message: str
    advice_code: str | None = None
    param: str | None = None
    failure_code: str | None = None

    def error(self, method: Json, charge: Json | None) -> Json:
        """Return the error object for responses and `last_payment_error`, without empty fields."""
        fields = {
            "advice_code": self.advice_code,
            "charge": charge["id"] if charge else None,
            "code": self.code,
            "decline_code": self.decline_code,
            "doc_url": doc_url(self.code),
            "message": self.message,
            "param": self.param,
            "payment_method": method,
            "type": CARD_ERROR if self.decline_code else INVALID_REQUEST,
        }
        return {name: value for name, value in fields.items() if value is not None}


class Challenge(Enum):
    """When the card requires authentication (3-D Secure)."""

    NEVER = "never"
    ALWAYS = "always"
    ON_SESSION = "on_session"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A test payment method; `number` is the card number, account number or IBAN.

    `settles_s` is the time the bank takes to decide on a debit. Without it the debit stays in processing. `checks` are the
    results of `cvc`, `line1` and `postal_code` that differ from "pass".
    """

    name: str
    type: str
    number: str
    brand: str = "visa"
    funding: str = "credit"
    decline: Decline | None = None
    challenge: Challenge = Challenge.NEVER
    settles_s: float | None = None
    country: str = "US"
    co_brand: str | None = None
    risk_level: str = "normal"
    checks: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def last4(self) -> str:
        return self.number[-4:]
