"""The currencies that can be charged, and the decimals that the store writes in each.

The codes are Stripe's presentment currencies (https://docs.stripe.com/currencies). The decimals follow ISO 4217, with one
exception: MGA has 0, since its minor unit is a fifth and prices do not use it. The Stripe adapter alone handles the
currencies that Stripe counts differently (ISK, UGX).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class UnknownCurrency(ValueError):
    """The code names no currency that can be charged."""


@dataclass(frozen=True)
class Currency:
    """A currency. `code`: ISO 4217, lower case. `decimals`: digits after the point; one unit is 10**decimals minor
    units.
    """

    code: str
    decimals: int

    def __str__(self) -> str:
        return self.code


_CODE_LENGTH: Final = 3
_NO_DECIMALS: Final = "bif clp djf gnf isk jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf"
_TWO_DECIMALS: Final = """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc cve czk
    dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr jmd kes kgs khr kyd kzt lak lbp lkr
    lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub
    sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd xcg yer zar zmw
"""
_THREE_DECIMALS: Final = "bhd jod kwd omr tnd"

CURRENCIES: Final[Mapping[str, Currency]] = MappingProxyType(
    {
        code: Currency(code, decimals)
        for decimals, codes in ((0, _NO_DECIMALS), (2, _TWO_DECIMALS), (3, _THREE_DECIMALS))
        for code in codes.split()
    }
)


def currency(code: str) -> Currency:
    """Return the currency of a lower-case ISO 4217 code. Raises `UnknownCurrency`."""
    found = CURRENCIES.get(code)
    if found is None:
        message = f"{_shown(code)} is not a supported currency: use a lower-case ISO 4217 code such as 'eur'."
        raise UnknownCurrency(message)
    return found


def _shown(code: str) -> str:
    """Return the code for a message if it is short letters; any other text may be personal data."""
    return repr(code) if len(code) <= _CODE_LENGTH and code.isascii() and code.isalpha() else "This text"
