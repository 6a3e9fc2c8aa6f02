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
from stripe_sandbox.state.store import Store
from stripe_sandbox.webhooks import signature

STATES = ("pending", "delivered", "failed", "abandoned", "stopped", "dropped")

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


def settled(row: Json, attempt: Attempt, now: float) -> Json:
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


def shown(store: Store, row: Json) -> Json:
    """A delivery as the control API and the pages show it; times in seconds since 1970, by the sandbox's clock."""
    event = store["event"].rows[row["event"]]
    endpoint = store["webhook_endpoint"].rows.get(row["endpoint"], {})
    return {
        "object": "delivery",
        "id": row["id"],
        "event": event["id"],
        "type": event["type"],
        "request": event["request"]["id"],
        "endpoint": row["endpoint"],
        "url": endpoint.get("url"),
        "state": row["state"],
        "planned": round(row["planned"], 3),
        "due": round(row["due"], 3) if row["state"] == "pending" else None,
        "automatic": "once" not in row,
        "attempts_made": row["attempts"],
        "attempts": [_attempt_shown(*entry) for entry in row["log"]],
    }


def _attempt_shown(at: float, outcome: str, duration_ms: int, timestamp: int, signatures: int, body: str) -> Json:
    answered = outcome.isdecimal()
    return {
        "at": at,
        "status": int(outcome) if answered else None,
        "error": None if answered else outcome,
        "duration_ms": duration_ms,
        "signature": signature.masked(timestamp, signatures),
        "body": body,
    }
