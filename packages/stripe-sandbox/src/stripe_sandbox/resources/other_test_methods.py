"""Stripe's test cards that the sandbox lacks (https://docs.stripe.com/testing, https://docs.stripe.com/terminal)."""

from __future__ import annotations

import re
from typing import Final

from stripe_sandbox.errors import ApiError, missing_resource
from stripe_sandbox.wire import not_covered

_IN_PERSON: Final = "for payments in person"
_RADAR: Final = "blocked or not by the rules of Radar"

NUMBERS: Final = {
    "4000008400000407": _RADAR,
    "4000008400000159": _RADAR,
    "4000008400001017": _RADAR,
    "4001858821843804": _RADAR,
    "4000008405600003": "Adaptive 3D Secure",
    "4000000000001208": "a captcha",
    "4000000000003725": "a captcha",
    "5062210000000009": "Carnet",
    "6555900000604105": "BCcard and DinaCard",
    "4001007020000002": _IN_PERSON,
    "4000008260000075": _IN_PERSON,
    "4001000360000005": _IN_PERSON,
    "4000002760000008": _IN_PERSON,
    "4506445006931933": _IN_PERSON,
    "6280000360000978": _IN_PERSON,
}
_NAMES: Final = frozenset(
    {
        "adaptive3dsChallenge",
        "freeTrialAbuseBlock",
        "highEfwScore",
        "highFraudDisputeScore",
        "radarDynamicRiskThreshold",
        "visa_chargeCustomerFailLostCard",
        "visa_chargeCustomerFailStolenCard",
    }
)
_TEST_NAME: Final = re.compile(r"(pm|tok)_(card_)?([A-Za-z]\w*)")  # an object's id continues with a digit


def check_number(number: str, param: str) -> None:
    """Raise `ApiError` 400 for a test card that only Stripe has."""
    if (what := NUMBERS.get(number)) is not None:
        raise not_covered.not_covered(f"The test card that ends in {number[-4:]} ({what})", param=param)


def missing(noun: str, name: str, param: str) -> ApiError:
    """Return the refusal of a payment method or token that the sandbox lacks."""
    found = _TEST_NAME.fullmatch(name)
    if found is not None and found[3] in _NAMES:
        return not_covered.not_covered(f"The test payment method {name}", param=param)
    error = missing_resource(noun, name, param, status=400)
    if found is not None:
        error.error["message"] += (
            ". The sandbox has no test payment method of this name: docs/sandbox.md lists those that it covers."
        )
    return error
