"""How a webhook is signed (https://docs.stripe.com/webhooks/signature)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from stripe_sandbox.errors import Json
from stripe_sandbox.faults.webhooks import WrongSignature
from stripe_sandbox.resources.endpoints import former_secrets, valid_secrets

STALE_S = 3600  # how long ago a stale one was signed: receivers allow 5 minutes
NEVER_VALID = "whsec_never_valid"


def header(secrets: Sequence[str], timestamp: int, payload: bytes) -> str:
    """The `Stripe-Signature` header: one `v1` for each secret; `timestamp` in unix seconds."""
    signed = b"%d." % timestamp + payload
    digests = [hmac.digest(secret.encode(), signed, hashlib.sha256).hex() for secret in secrets]
    return f"t={timestamp}," + ",".join(f"v1={digest}" for digest in digests)


def masked(timestamp: int, count: int) -> str:
    """The header as it is shown to people: enough to see its age and how many secrets signed."""
    return f"t={timestamp}" + ",v1=…" * count


def signing_inputs(endpoint: Json, now: float, wall: int, wrong: WrongSignature | None) -> tuple[list[str], int]:
    """The secrets to sign with and the timestamp to sign.

    `now` is the sandbox's time, which ends secrets; `wall` the real one in unix seconds, by which a receiver judges
    the age of a signature.
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
