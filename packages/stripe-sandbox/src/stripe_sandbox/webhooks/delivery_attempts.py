"""Delivery attempts: the state of a delivery and its next retry.

A delivery is a row of the table `delivery`. Its `state` is one of

- `pending`: not answered with 2xx yet, retried when due;
- `delivered`: answered with 2xx;
- `failed`: a resend or duplicate, which has one attempt, not answered with 2xx;
- `abandoned`: given up after three days (https://docs.stripe.com/webhooks#retries);
- `stopped`: its endpoint was disabled or deleted when it was due;
- `dropped`: suppressed by a fault.
"""

from __future__ import annotations

from dataclasses import dataclass

from stripe_sandbox.errors import Json

FIRST_RETRY_S = 0.5  # Stripe waits minutes; a sandbox should not
RETRY_CAP_S = 15.0  # a service is up to date soon after it recovers
GIVE_UP_S = 3 * 24 * 3600.0  # Stripe's own limit in live mode
ATTEMPTS_KEPT = 10  # the latest per delivery: a dead endpoint would fill the state file with old ones
BODY_CHARS = 500  # of the response, for people: the first lines of an error


@dataclass(frozen=True, slots=True)
class Attempt:
    """A POST request: `outcome` is the status as text or the error's name, `at` the sandbox's time."""

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
    """Return the delivery after `attempt`."""
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
    """Return the wait after that many attempts: 0.5 s, 1 s, 2 s … up to the cap."""
    return min(RETRY_CAP_S, FIRST_RETRY_S * 2.0 ** min(attempts - 1, 10))
