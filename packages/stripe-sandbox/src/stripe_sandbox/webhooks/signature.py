"""Webhook signatures (https://docs.stripe.com/webhooks/signature)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from stripe_sandbox.errors import Json
from stripe_sandbox.faults.webhooks import WrongSignature
from stripe_sandbox.resources.endpoints import former_secrets, valid_secrets

STALE_S = 3600  # age of a stale signature: receivers allow 5 minutes
NEVER_VALID = "whsec_never_valid"


def header(secrets: Sequence[str], timestamp: int, payload: bytes) -> str:
    """Return the `Stripe-Signature` header: one `v1` per secret; `timestamp` in Unix seconds."""
    signed = b"%d." % timestamp + payload
    digests = [hmac.digest(secret.encode(), signed, hashlib.sha256).hex() for secret in secrets]
    return f"t={timestamp}," + ",".join(f"v1={digest}" for digest in digests)


def masked(timestamp: int, count: int) -> str:
    """Return the header for display: its timestamp and the number of signatures."""
    return f"t={timestamp}" + ",v1=…" * count


def signing_inputs(endpoint: Json, now: float, wall: int, wrong: WrongSignature | None) -> tuple[list[str], int]:
    """Return the secrets to sign with and the timestamp to sign.

    `now` is the sandbox's time, by which secrets expire. `wall` is the real time in Unix seconds, by which receivers
    check the age of a signature.
    """
    match wrong:
        case None:
            return valid_secrets(endpoint, now), wall
        case "stale_timestamp":
            return valid_secrets(endpoint, now), wall - STALE_S
        case "old_secret":
            return former_secrets(endpoint)[:1] or [NEVER_VALID], wall
        case "bad_signature":
            return [NEVER_VALID], wall
