"""Stripe's rate limits, on request (https://docs.stripe.com/rate-limits).

Buckets refill in real time, independent of the sandbox's clock: clients send and back off in real seconds. A rejected
request takes no tokens.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stripe_sandbox.errors import ApiError, Json

Reason = Literal["global-rate", "global-concurrency", "endpoint-rate", "endpoint-concurrency", "resource-specific"]

HOUR_S = 3600.0
BUCKETS_LIMIT = 20_000  # objects remembered; above that, full buckets are dropped
_COUNT = Field(default=None, ge=1, le=1_000_000)

TOO_MANY = (
    "Too many requests hit the API too quickly. We recommend an exponential backoff of your requests,"
    " see https://docs.stripe.com/rate-limits."
)
LOCKED = (
    "This object cannot be accessed right now because another API request or Stripe process is currently accessing"
    " it. If you see this error intermittently, retry the request. If you see this error frequently and are making"
    " multiple concurrent requests to a single object, make your requests serially or at a lower rate."
)


class RateLimits(BaseModel):
    """Requests per second or at the same time. An omitted field means no limit; `"stripe"` means Stripe's numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    global_per_s: int | None = _COUNT
    live_per_s: int | None = Field(default=None, ge=1, le=1_000_000, description="For live-mode keys.")
    endpoint_per_s: int | None = _COUNT
    global_concurrency: int | None = _COUNT
    endpoint_concurrency: int | None = _COUNT
    updates_per_intent_per_hour: int | None = _COUNT
    lock_timeouts: bool = False
    retry_after_s: int | None = Field(default=None, ge=0, le=86_400, description="Stripe itself sends none.")

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return STRIPE if value == "stripe" else value


# Stripe names the reasons for concurrency limits, but publishes no numbers for payments.
STRIPE: Json = {
    "global_per_s": 25,
    "live_per_s": 100,
    "endpoint_per_s": 25,
    "updates_per_intent_per_hour": 1000,
    "lock_timeouts": True,
}


@dataclass(slots=True)
class Bucket:
    """A token bucket for `period_s`. It starts full, so a burst of one period passes."""

    size: int
    period_s: float
    tokens: float
    filled_at: float

    def fill(self, now: float) -> None:
        gained = (now - self.filled_at) * self.size / self.period_s
        self.tokens = min(float(self.size), self.tokens + gained)
        self.filled_at = now


@dataclass(frozen=True, slots=True)
class LimitedRequest:
    """A request as limits see it; `changed_object` is the id of the object it changes."""

    live: bool
    operation: str
    changed_object: str | None


class RateLimiter:
    """The limits of one account, counted from creation. All keys of a mode share them."""

    def __init__(self, limits: RateLimits, now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._now = now
        self._buckets: dict[tuple[object, ...], Bucket] = {}
        self._running: Counter[tuple[object, ...]] = Counter()
        self._locked: set[str] = set()
        self.refused: Counter[str] = Counter()

    @contextmanager
    def admitted(self, request: LimitedRequest) -> Iterator[None]:
        """Admit a request and count it while it runs. Raises `ApiError` 429."""
        self._admit(request)
        slots = ((request.live,), (request.live, request.operation))
        self._running.update(slots)
        try:
            yield
        finally:
            self._running.subtract(slots)

    @contextmanager
    def locked(self, object_id: str | None) -> Iterator[None]:
        """Lock the object against concurrent changes. Raises `ApiError` 429 `lock_timeout` at once."""
        if object_id is None or not self._limits.lock_timeouts:
            yield
            return
        if object_id in self._locked:
            self.refused["lock_timeout"] += 1
            raise lock_timeout()
        self._locked.add(object_id)
        try:
            yield
        finally:
            self._locked.discard(object_id)

    def report(self) -> Json:
        return {**self._limits.model_dump(), "refused": dict(self.refused)}

    def _admit(self, request: LimitedRequest) -> None:
        limits = self._limits
        if self._full(limits.global_concurrency, (request.live,)):
            raise self._rejection("global-concurrency")
        if self._full(limits.endpoint_concurrency, (request.live, request.operation)):
            raise self._rejection("endpoint-concurrency")
        rates = list(self._rates(request))
        for reason, bucket in rates:
            bucket.fill(self._now())
            if bucket.tokens < 1:
                raise self._rejection(reason)
        for _, bucket in rates:
            bucket.tokens -= 1

    def _rates(self, request: LimitedRequest) -> Iterator[tuple[Reason, Bucket]]:
        limits = self._limits
        account = limits.live_per_s if request.live else limits.global_per_s
        if account is not None:
            yield "global-rate", self._bucket((request.live,), account, 1.0)
        if limits.endpoint_per_s is not None:
            yield "endpoint-rate", self._bucket((request.live, request.operation), limits.endpoint_per_s, 1.0)
        updates = limits.updates_per_intent_per_hour
        if updates is not None and request.operation == "payment_intents.update" and request.changed_object is not None:
            yield "resource-specific", self._bucket((request.changed_object, "updates"), updates, HOUR_S)

    def _full(self, limit: int | None, slot: tuple[object, ...]) -> bool:
        return limit is not None and self._running[slot] >= limit

    def _bucket(self, name: tuple[object, ...], size: int, period_s: float) -> Bucket:
        if name not in self._buckets:
            if len(self._buckets) >= BUCKETS_LIMIT:
                self._drop_full_buckets()
            self._buckets[name] = Bucket(size, period_s, float(size), self._now())
        return self._buckets[name]

    def _drop_full_buckets(self) -> None:
        for name, bucket in list(self._buckets.items()):
            bucket.fill(self._now())
            if bucket.tokens >= bucket.size:
                del self._buckets[name]

    def _rejection(self, reason: Reason) -> ApiError:
        self.refused[reason] += 1
        return rate_limited(reason, self._limits.retry_after_s)


def rate_limited(reason: Reason | None, retry_after_s: int | None = None) -> ApiError:
    headers: dict[str, str] = {} if reason is None else {"Stripe-Rate-Limited-Reason": reason}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return ApiError(429, TOO_MANY, code="rate_limit", headers=headers)


def lock_timeout() -> ApiError:
    """Return a 429 without a reason header that asks clients to retry, which the official SDKs do."""
    return ApiError(429, LOCKED, code="lock_timeout", headers={"Stripe-Should-Retry": "true"})
