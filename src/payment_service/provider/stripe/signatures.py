"""Stripe's signatures: `verify` the raw bytes of a webhook. Pure: no I/O, no clock.

The scheme is HMAC-SHA256 of time and body (https://docs.stripe.com/webhooks#verify-manually). The tests compare every
verdict with the official SDK's. The SDK itself accepts future timestamps and `t=+1_7`, and takes 15 MB of memory.
"""

from __future__ import annotations

import hmac
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from payment_service.provider.port import SignatureRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

# Stripe's own default, here in both directions: a future time would allow a later replay of a captured request.
TOLERANCE_S: Final = 300
# Stripe sends one signature per active secret, two during a rotation. Eight leave room and limit the work.
SIGNATURES_MAX: Final = 8
HEADER_LIMIT_CHARACTERS: Final = 4_096
# No leading zero: Stripe signs the number, not the digits, so `t=017…` would be another spelling of a valid header.
_TIMESTAMP: Final = re.compile(r"[1-9][0-9]{0,11}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}")
_SCHEME: Final = re.compile(r"[a-z0-9_]{1,32}")


class SignatureReason(StrEnum):
    """The reason why a signature was refused; also a metric label."""

    MISSING_HEADER = "missing_header"
    MALFORMED_HEADER = "malformed_header"
    STALE = "stale"
    FUTURE = "future"
    NO_MATCH = "no_match"
    NOT_UTF8 = "not_utf8"


def verify(body: bytes, header: str | None, secrets: Sequence[str], *, now_s: int) -> str:
    """Verify the signature over the raw bytes. Return the name of the matching secret (`secret-1` is the first
    configured).

    `header` is `Stripe-Signature`; `now_s` our clock, seconds. Raise SignatureRefused, and nothing else.
    """
    timestamp, signatures = _read_header(header)
    if int(timestamp) < now_s - TOLERANCE_S:
        raise SignatureRefused(SignatureReason.STALE, f"The signature is older than {TOLERANCE_S} s.")
    if int(timestamp) > now_s + TOLERANCE_S:
        raise SignatureRefused(SignatureReason.FUTURE, f"The signature is more than {TOLERANCE_S} s in the future.")
    try:
        body.decode()
    except UnicodeDecodeError:
        raise SignatureRefused(SignatureReason.NOT_UTF8, "The body is not UTF-8.") from None
    signed = b"%b.%b" % (timestamp.encode(), body)
    for position, secret in enumerate(secrets, 1):
        expected = hmac.digest(secret.encode(), signed, "sha256").hex()
        if any(hmac.compare_digest(expected, signature) for signature in signatures):
            return f"secret-{position}"
    raise SignatureRefused(SignatureReason.NO_MATCH, "No signature matches the body.")


def _read_header(header: str | None) -> tuple[str, list[str]]:
    """Return the timestamp's digits and the v1 signatures. Other schemes are ignored, as Stripe's documentation
    requires.
    """
    if not header:
        raise SignatureRefused(SignatureReason.MISSING_HEADER, "The header Stripe-Signature is missing.")
    if len(header) > HEADER_LIMIT_CHARACTERS:
        raise _malformed_header()
    pairs = [item.partition("=") for item in header.split(",")]
    timestamps = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if not all(_SCHEME.fullmatch(name) for name, _, _ in pairs):
        raise _malformed_header()
    if len(timestamps) != 1 or _TIMESTAMP.fullmatch(timestamps[0]) is None:
        raise _malformed_header()
    if not 1 <= len(signatures) <= SIGNATURES_MAX or not all(_SIGNATURE.fullmatch(value) for value in signatures):
        raise _malformed_header()
    return timestamps[0], signatures


def _malformed_header() -> SignatureRefused:
    message = f"The header Stripe-Signature is not of the form t=…,v1=… with one t and 1 to {SIGNATURES_MAX} v1."
    return SignatureRefused(SignatureReason.MALFORMED_HEADER, message)
