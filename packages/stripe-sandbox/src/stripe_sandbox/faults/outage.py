"""Stripe away altogether, or limping: every request of the API is hit, whatever it is about."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stripe_sandbox.errors import Json
from stripe_sandbox.faults.matching import random_stream

HANG_LIMIT_S = 3600.0  # nobody waits longer, and a request held for ever would never be collected


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float | None = Field(default=None, gt=0, le=86_400, description="How long; left out: until cleared.")


class Outage(_Strict):
    """`refuse`: the port is closed; `drop`: connections end; `hang`: no answer comes; `status`: 503 of a proxy."""

    kind: Literal["refuse", "drop", "hang", "status"]
    code: int = Field(default=503, ge=500, le=599)

    @model_validator(mode="after")
    def _refusal_ends(self) -> Outage:
        if self.kind == "refuse" and self.seconds is None:
            raise ValueError("outage `refuse` needs `seconds`: the port is closed, so nobody could clear it")
        return self


class BrownOut(_Strict):
    """A share of the requests is slow, a share fails; a request can be both."""

    share: float = Field(default=0, ge=0, le=1)
    latency_ms: int = Field(default=0, ge=0, le=3_600_000)
    error_share: float = Field(default=0, ge=0, le=1)
    error_code: int = Field(default=503, ge=400, le=599)
    error_phase: Literal["before", "after"] = "before"


class FaultPeriod:
    """A stretch of time that began when it was made. What clients wait for is real, so real time counts.

    `met` are the requests that fell into it.
    """

    def __init__(self, seconds: float | None, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._until = None if seconds is None else now() + seconds
        self._cleared = asyncio.Event()
        self.requests = 0

    @property
    def over(self) -> bool:
        return self._cleared.is_set() or (self._until is not None and self._now() >= self._until)

    @property
    def left_s(self) -> float | None:
        """None: until cleared."""
        return None if self._until is None else max(0.0, self._until - self._now())

    def clear(self) -> None:
        self._cleared.set()

    async def end(self) -> None:
        left_s = self.left_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANG_LIMIT_S if left_s is None else left_s):
                await self._cleared.wait()


class ActiveBrownOut:
    """A brown-out under way; two numbers of its stream for every request."""

    def __init__(self, settings: BrownOut, seed: int) -> None:
        self.settings = settings
        self.period = FaultPeriod(settings.seconds)
        self.slowed = 0
        self.failed = 0
        self._random = random_stream(seed, "brown_out")

    def draw(self) -> tuple[float, bool]:
        """(milliseconds to wait, whether to fail) of the next request."""
        slow = self._random.random() < self.settings.share
        fails = self._random.random() < self.settings.error_share
        if self.period.over:
            return 0.0, False
        self.slowed += slow
        self.failed += fails
        return float(self.settings.latency_ms if slow else 0), fails

    def report(self) -> Json:
        state = {"left_s": self.period.left_s, "slowed": self.slowed, "failed": self.failed}
        return {**self.settings.model_dump(), **state}
