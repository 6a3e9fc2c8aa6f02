"""What a delivery has been through: its attempts, its state, and when it is tried again.

A delivery is a row of the table `delivery`. Its `state` is one of

- `pending`: not answered 2xx yet, tried again when due;
- `delivered`: answered 2xx;
- `failed`: a resend or a duplicate, which have one attempt, not answered 2xx;
- `abandoned`: given up after three days (https://docs.stripe.com/webhooks#retries);
- `stopped`: its endpoint was disabled or deleted when it was due;
- `dropped`: a fault kept it from being sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from stripe_sandbox.errors import Json

FIRST_RETRY_S = 0.5  # Stripe waits minutes; nobody wants to in a sandbox
RETRY_CAP_S = 15.0  # so that a service that was down is up to date soon after it is back
GIVE_UP_S = 3 * 24 * 3600.0  # Stripe's own limit in live mode
ATTEMPTS_KEPT = 10  # per delivery, the latest: a dead endpoint would fill the state file with old ones
BODY_CHARS = 500  # of an answer, kept for people: an error's first lines


@dataclass(frozen=True, slots=True)
class Attempt:
    """One post: `outcome` is the status as text or the name of what went wrong, `at` the sandbox's time."""

    at: float
    outcome: str
    duration_ms: int
    timestamp: int
    signatures: int
    body: str = ""

    @property
    def accepted(self) -> bool:
        return self.outcome.startswith("2")


def after_attempt(row: Json, attempt: Attempt, now: float) -> Json:
    """The delivery after `attempt`."""
    entry = [
        round(attempt.at, 3),
        attempt.outcome,
        attempt.duration_ms,
        attempt.timestamp,
        attempt.signatures,
        attempt.body,
    ]
    row = {**row, "attempts": row["attempts"] + 1, "log": [*row["log"], entry][-ATTEMPTS_KEPT:]}
    if attempt.accepted:
        row["state"] = "delivered"
    elif "once" in row:
        row["state"] = "failed"
    elif now - row["planned"] >= GIVE_UP_S:
        row["state"] = "abandoned"
    else:
        row["due"] = now + backoff_s(row["attempts"])
    return row


def backoff_s(attempts: int) -> float:
    """The wait after that many attempts: 0.5 s, 1 s, 2 s … up to the cap."""
    return min(RETRY_CAP_S, FIRST_RETRY_S * 2.0 ** min(attempts - 1, 10))
