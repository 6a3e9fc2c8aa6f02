"""Ids of Stripe's objects (https://docs.stripe.com/upgrades#what-changes-does-stripe-consider-to-be-backwards-compatible)."""

from __future__ import annotations

import re
from typing import Any, Final

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


def is_id(value: object) -> bool:
    """Return whether a value can be the id of an object."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def object_id(value: Any) -> str:
    """Return the id of an object. Raise TypeError for anything else, such as an id that the guard has masked."""
    if not is_id(value):
        raise TypeError
    return str(value)
