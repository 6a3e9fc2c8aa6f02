"""Currencies and the amounts that Stripe accepts in each (https://docs.stripe.com/currencies)."""

from __future__ import annotations

from stripe_sandbox.errors import ApiError, invalid

AMOUNT_LIMIT = 99_999_999  # eight digits: https://docs.stripe.com/api/payment_intents/create

_SUPPORTED = """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf
    chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel ghs gip gmd gnf gtq gyd hkd hnl
    htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd
    mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd
    rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx usd uyu uzs
    vnd vuv wst xaf xcd xcg xof xpf yer zar zmw
"""
SUPPORTED = frozenset(_SUPPORTED.split())

MINIMUM = {
    "usd": 50, "aed": 200, "ars": 50, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "cop": 50,
    "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "idr": 50,
    "ils": 50, "inr": 50, "jpy": 50, "krw": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50,
    "php": 50, "pln": 200, "ron": 200, "rub": 50, "sek": 300, "sgd": 50, "thb": 1000, "zar": 50,
    "bgn": 100,
}  # fmt: skip

# ISK and UGX have no minor unit, but are sent times 100; three-decimal amounts end in 0.
MULTIPLE = {"isk": 100, "ugx": 100, "bhd": 10, "jod": 10, "kwd": 10, "omr": 10, "tnd": 10}


def check(amount: int, currency: str) -> str:
    """Return the currency in lower case. Raises `ApiError` 400 for amounts that Stripe rejects."""
    code = currency.lower()
    if code not in SUPPORTED:
        raise invalid(f"Invalid currency: {code}.", "currency")
    if amount < 1:
        raise invalid(
            "The amount must be greater than or equal to the minimum charge amount allowed for your account and the"
            " currency set.",
            "amount",
            "parameter_invalid_integer",
        )
    if amount > AMOUNT_LIMIT:
        raise too_large(f"Amount must be no more than {AMOUNT_LIMIT} {code}", "amount")
    if amount < MINIMUM.get(code, 1):
        raise _too_small(code)
    check_multiple(amount, code, "amount")
    return code


def check_multiple(amount: int, code: str, param: str) -> None:
    """Raise `ApiError` 400 for a fraction that the currency does not have."""
    if amount % MULTIPLE.get(code, 1):
        raise invalid(
            f"Invalid amount: {code} amounts must be a multiple of {MULTIPLE[code]}.",
            param,
            "parameter_invalid_integer",
        )


def positive(amount: int, param: str) -> None:
    if amount < 1:
        raise invalid("This value must be greater than or equal to 1.", param, "parameter_invalid_integer")


def too_large(message: str, param: str) -> ApiError:
    return invalid(message, param, "amount_too_large")


def _too_small(code: str) -> ApiError:
    return invalid(
        f"Amount must be at least {MINIMUM[code]} in the minor unit of {code}",
        "amount",
        "amount_too_small",
    )
