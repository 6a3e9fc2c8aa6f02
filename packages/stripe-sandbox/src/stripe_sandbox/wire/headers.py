"""Request headers: API version, account, idempotency key, content type."""

from __future__ import annotations

import re

from stripe_sandbox.errors import invalid, no_access, not_a_form

KEY_CHARS = 255  # https://docs.stripe.com/api/idempotent_requests

_VERSION = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(\.[a-z_]+)?(;.*)?")
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9_]{1,64}")
_KEY = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")  # surrogates stand for bytes that are not UTF-8
_FORM = "application/x-www-form-urlencoded"


def check_version(version: str | None) -> None:
    """Accept any well-formed version, though responses have one shape. Raises `ApiError` 400."""
    if version is not None and _VERSION.fullmatch(version) is None:
        raise invalid(f"Invalid Stripe API version: {version}")


def version(header: str | None) -> str | None:
    """Return the requested version for the response; None without a well-formed one."""
    found = _VERSION.fullmatch(header or "")
    return found[0].partition(";")[0] if found else None


def account(header: str | None) -> str | None:
    """Return the connected account (https://docs.stripe.com/api/connected-accounts). Raises `ApiError` 403."""
    if header is not None and _ACCOUNT.fullmatch(header) is None:
        raise no_access(header)
    return header


def idempotency_key(header: str | None) -> str | None:
    """Return the key; an empty one counts as none. Raises `ApiError` 400."""
    if not header:
        return None
    if len(header) > KEY_CHARS:
        raise invalid(f"Idempotency keys can be at most {KEY_CHARS} characters long.")
    if _KEY.fullmatch(header) is None:
        raise invalid("Idempotency keys must be UTF-8 without control characters.")
    return header


def is_form(content_type: str | None) -> bool:
    """Return whether the body is a form, the default without a content type."""
    return content_type is None or content_type.partition(";")[0].strip().lower() in ("", _FORM)


def check_form(content_type: str | None) -> None:
    """Raise `ApiError` 400 unless the body is a form."""
    if not is_form(content_type):
        raise not_a_form()
