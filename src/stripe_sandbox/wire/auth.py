"""API keys by Bearer or as the user name of Basic (https://docs.stripe.com/api/authentication)."""

from __future__ import annotations

import base64
import binascii
import re

from stripe_sandbox.errors import ApiError

MASK_FROM_CHARS = 16  # shorter ones would show too much of themselves
_TEST_KEY = re.compile(r"sk_test_[A-Za-z0-9_]{4,}")


class ApiKeys:
    """Which keys are accepted; with none named, every well-formed `sk_test_…`."""

    def __init__(self, accepted: list[str]) -> None:
        self.accept(accepted)

    def accept(self, accepted: list[str]) -> None:
        self._accepted = frozenset(accepted)

    def check(self, authorization: str | None) -> None:
        """Raises `ApiError` 401."""
        key = _presented(authorization)
        if key is None:
            raise ApiError(
                401,
                "You did not provide an API key. You need to provide your API key in the"
                " Authorization header, using Bearer auth (e.g. 'Authorization: Bearer"
                " YOUR_SECRET_KEY').",
            )
        known = key in self._accepted if self._accepted else _TEST_KEY.fullmatch(key)
        if not known:
            raise ApiError(401, f"Invalid API Key provided: {_masked(key)}")


def _presented(authorization: str | None) -> str | None:
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > MASK_FROM_CHARS else "*" * len(key)
