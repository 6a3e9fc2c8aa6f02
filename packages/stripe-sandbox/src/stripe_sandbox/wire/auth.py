"""API keys, as Bearer token or as user name of Basic (https://docs.stripe.com/api/authentication).

A publishable key may also be the parameter `key`, which saves a browser the CORS preflight.
"""

from __future__ import annotations

import base64
import binascii
import re

from stripe_sandbox.errors import ApiError

MASK_FROM_CHARS = 16  # shorter keys would reveal too much of themselves
_TEST_KEY = re.compile(r"sk_test_[A-Za-z0-9_]+")
_PUBLISHABLE_KEY = re.compile(r"pk_test_[A-Za-z0-9_]+")
OWN_PUBLISHABLE_KEY = "pk_test_sandbox"


class ApiKeys:
    """The accepted keys; without any of a kind, every well-formed `sk_test_…` or `pk_test_…` key."""

    def __init__(self, accepted: list[str]) -> None:
        self.accept(accepted)

    def accept(self, accepted: list[str]) -> None:
        self._secret = frozenset(key for key in accepted if not key.startswith("pk_"))
        self._publishable = frozenset(accepted) - self._secret

    @property
    def publishable(self) -> str:
        """Return an accepted publishable key for the checkout page."""
        return min(self._publishable, default=OWN_PUBLISHABLE_KEY)

    def check(self, authorization: str | None, parameter: object = None) -> bool:
        """Return whether the caller has only a publishable key. Raises `ApiError` 401.

        `parameter` is the request's `key` parameter. It counts only without a header, and never for a secret key.
        """
        key = presented_key(authorization)
        if key is None and authorization is None and str(parameter).startswith("pk_"):
            key = str(parameter)
        if key is None:
            raise ApiError(
                401,
                "You did not provide an API key. You need to provide your API key in the"
                " Authorization header, using Bearer auth (e.g. 'Authorization: Bearer"
                " YOUR_SECRET_KEY').",
            )
        publishable = key.startswith("pk_")
        accepted, pattern = (self._publishable, _PUBLISHABLE_KEY) if publishable else (self._secret, _TEST_KEY)
        known = key in accepted if accepted else pattern.fullmatch(key)
        if not known:
            raise ApiError(401, f"Invalid API Key provided: {masked(key)}")
        return publishable


def presented_key(authorization: str | None) -> str | None:
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def masked(key: str) -> str:
    return f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > MASK_FROM_CHARS else "*" * len(key)
