"""Creditor references (ISO 11649), which connect a customer's transfer with its payment. Pure.

A reference is `RF`, two check digits and 16 characters made from the payment's id, printed in five groups of four. The
letters are Crockford's, without I, L, O and U, which are easily misread. They hold 80 bits. With a billion payments, the chance
that two share a reference is one in two million, and then the ledger refuses the second.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from stdnum import iso11649
from stdnum.iso7064 import mod_97_10

if TYPE_CHECKING:
    from uuid import UUID

_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BODY_LENGTH: Final = 16
_LENGTH: Final = 4 + _BODY_LENGTH
_FORM: Final = re.compile(rf"RF[0-9]{{2}}[{_LETTERS}]{{{_BODY_LENGTH}}}")
# Separators that people and banks write between the groups.
_BETWEEN: Final = re.compile(r"[\s\-.,/:]+")


def reference_of(payment_id: UUID) -> str:
    """Return the reference of a payment, without spaces."""
    number = int.from_bytes(sha256(payment_id.bytes).digest()[:10], "big")
    body = "".join(_LETTERS[number >> 5 * place & 31] for place in reversed(range(_BODY_LENGTH)))
    return f"RF{mod_97_10.calc_check_digits(f'{body}RF')}{body}"


def find_references(text: str) -> tuple[str, ...]:
    """Return the valid references in a customer's text, in any case and with any separators.

    Each appears once, in the order of the text.
    """
    compact = _BETWEEN.sub("", text).upper()
    candidates = (compact[match.start() : match.start() + _LENGTH] for match in re.finditer("RF", compact))
    return tuple(dict.fromkeys(one for one in candidates if _FORM.fullmatch(one) and iso11649.is_valid(one)))
