"""Format values for people, without secrets."""

from __future__ import annotations

import json
from typing import Any

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_TAIL_CHARS = 4  # enough to tell two secrets apart
HIDDEN = "(hidden)"


def duration(seconds: float) -> str:
    """Format the two largest units: `90061` becomes `1 d 1 h`."""
    left, parts = round(seconds), []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def masked(secret: str) -> str:
    """Mask a secret, as in `whsec_…9f3a`."""
    prefix, separator, rest = secret.partition("_")
    shown = rest[-_TAIL_CHARS:] if len(rest) > 2 * _TAIL_CHARS else ""
    return f"{prefix}{separator}…{shown}" if separator else "…"


def pretty(value: Any) -> str:
    """Format as indented JSON without client secrets."""
    return json.dumps(_without_secrets(value), indent=2, ensure_ascii=False)


def compact(value: Any) -> str:
    """Format as JSON on one line, without client secrets."""
    return json.dumps(_without_secrets(value), ensure_ascii=False)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: HIDDEN if key == "client_secret" else _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value
