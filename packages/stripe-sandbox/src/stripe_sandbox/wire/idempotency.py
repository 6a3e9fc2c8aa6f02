"""Idempotency keys (https://docs.stripe.com/api/idempotent_requests).

Stored: the first response to a key once the operation has run, including a decline or a 500. Not stored: rejected
credentials, failed validation, conflicts, rate limits. Keys expire after 24 hours.
"""

from __future__ import annotations

import hashlib
import json

from stripe_sandbox.errors import Json, key_in_use, key_reused
from stripe_sandbox.state.clock import Clock
from stripe_sandbox.state.store import Store, Transaction

RETENTION_S = 24 * 3600


def fingerprint(method: str, path: str, params: Json) -> str:
    """Return a hash of the request, which a reused key must match; parameter order does not matter."""
    canonical = json.dumps([method, path, params], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class IdempotencyKeys:
    """The keys of the last 24 hours, and those whose first request is in progress."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._running: dict[str, str] = {}

    def begin(self, key: str, request_fingerprint: str) -> Json | None:
        """Return the stored response for `key`; None means that the request runs now, until `end`.

        Raises `ApiError` 400 if the key was used with other parameters, 409 while its first request runs.
        """
        stored = self.stored(key)
        first = stored["fingerprint"] if stored else self._running.get(key, request_fingerprint)
        if first != request_fingerprint:
            raise key_reused(key)
        if key in self._running:
            raise key_in_use(key)
        if stored is None:
            self._running[key] = request_fingerprint
        return stored

    def stored(self, key: str) -> Json | None:
        row = self._store["idempotency_key"].rows.get(key)
        if row is None or self._clock.now() - row["created"] >= RETENTION_S:
            return None
        return row

    def store(
        self, tx: Transaction, key: str, request_fingerprint: str, request_id: str, status: int, text: str
    ) -> None:
        row = {
            "fingerprint": request_fingerprint,
            "created": self._clock.now(),
            "request_id": request_id,
            "status": status,
            "text": text,
        }
        tx.put("idempotency_key", key, row)

    def end(self, key: str) -> None:
        self._running.pop(key, None)

    def prune(self) -> None:
        """Remove expired keys; called at start, where it delays no request."""
        rows = self._store["idempotency_key"].rows
        for key in [key for key in rows if self.stored(key) is None]:
            del rows[key]
