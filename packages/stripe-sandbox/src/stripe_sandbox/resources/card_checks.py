"""Checks of a card: those of a form before it is used, and those that the bank reports."""

from __future__ import annotations

import datetime as dt
from typing import Final

from stripe_sandbox.errors import ApiError, Json
from stripe_sandbox.resources.instruments import CARD_ERROR, Instrument

CENTURY: Final = 2000
YEARS_AHEAD: Final = 50
MONTHS: Final = 12
CVC_DIGITS: Final = (3, 4)


def check_form(details: Json, now: float) -> None:
    """Raise `ApiError` 402 for an expiration date or a CVC that no card has (docs.stripe.com/testing#invalid-data)."""
    month, year, cvc = details.get("exp_month"), details.get("exp_year"), details.get("cvc")
    if month is not None and not 1 <= month <= MONTHS:
        raise card_error("invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month")
    if year is not None and not _is_ahead(month or MONTHS, year, now):
        raise card_error("invalid_expiry_year", "Your card's expiration year is invalid.", "exp_year")
    if cvc is not None and not (cvc.isdecimal() and len(cvc) in CVC_DIGITS):
        raise card_error("invalid_cvc", "Your card's security code is invalid.", "cvc")


def results(instrument: Instrument, address: Json) -> Json:
    """Return the bank's results: a field that the customer left empty is not checked."""
    line1 = instrument.checks.get("line1", "pass") if address["line1"] else None
    postal_code = instrument.checks.get("postal_code", "pass") if address["postal_code"] else None
    return {
        "address_line1_check": line1,
        "address_postal_code_check": postal_code,
        "cvc_check": instrument.checks.get("cvc", "pass"),
    }


def card_error(code: str, message: str, param: str, decline_code: str | None = None) -> ApiError:
    extra = {"decline_code": decline_code} if decline_code else {}
    return ApiError(402, message, kind=CARD_ERROR, code=code, param=param, extra=extra)


def _is_ahead(month: int, year: int, now: float) -> bool:
    today = dt.datetime.fromtimestamp(now, dt.UTC)
    year = year + CENTURY if year < 100 else year  # noqa: PLR2004 (two digits)
    return (today.year, today.month) <= (year, month) and year <= today.year + YEARS_AHEAD
