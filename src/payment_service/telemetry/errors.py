"""Errors in the words of PostgreSQL, the network or the operating system, for messages and logs."""

from __future__ import annotations

import os
import re
from typing import Final

LIMIT_CHARACTERS: Final = 300

_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


def describe_error(error: BaseException) -> str:
    """Return one line without a full stop. It never contains the name of a Python class."""
    if isinstance(error, TimeoutError):
        return "timed out"
    text = " ".join(str(error).split())
    if isinstance(error, OSError):
        number = error.errno or next((int(found[1]) for found in _ERRNO.finditer(text)), None)
        text = os.strerror(number) if number and number > 0 else error.strerror or text
    return text[:LIMIT_CHARACTERS].rstrip(".") or "no details are known"
