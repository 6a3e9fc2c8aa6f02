"""Outages and brown-outs: faults that affect every API request, whatever it contains."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stripe_sandbox.errors import Json
from stripe_sandbox.faults.matching import random_stream

HANG_LIMIT_S = 3600.0  # longer than any client waits; without a limit, abandoned requests would pile up


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float | None = Field(default=None, gt=0, le=86_400, description="Duration; without it, until cleared.")


class Outage(_Strict):
    """`refuse`: closed port; `drop`: closed connections; `hang`: no response; `status`: a proxy's 503."""

    kind: Literal["refuse", "drop", "hang", "status"]
    code: int = Field(default=503, ge=500, le=599)

    @model_validator(mode="after")
    def _require_end(self) -> Outage:
        if self.kind == "refuse" and self.seconds is None:
            raise ValueError("outage `refuse` needs `seconds`: while the port is closed, no request can clear it")
        return self


class BrownOut(_Strict):
    """A share of requests is slow and a share fails; one request can be both."""

    share: float = Field(default=0, ge=0, le=1)
    latency_ms: int = Field(default=0, ge=0, le=3_600_000)
    error_share: float = Field(default=0, ge=0, le=1)
    error_code: int = Field(default=503, ge=400, le=599)
    error_phase: Literal["before", "after"] = "before"


class FaultPeriod:
    """A period that starts now. It runs in real time, because clients wait in real time.

    `requests` counts the requests that arrived during it.
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
        """The seconds left; None if it lasts until cleared."""
        return None if self._until is None else max(0.0, self._until - self._now())

    def clear(self) -> None:
        self._cleared.set()

    async def end(self) -> None:
        left_s = self.left_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANG_LIMIT_S if left_s is None else left_s):
                await self._cleared.wait()


class ActiveBrownOut:
    """A brown-out in progress. It draws two random numbers per request."""

    def __init__(self, settings: BrownOut, seed: int) -> None:
        self.settings = settings
        self.period = FaultPeriod(settings.seconds)
        self.slowed = 0
        self.failed = 0
        self._random = random_stream(seed, "brown_out")

    def draw(self) -> tuple[float, bool]:
        """Return (milliseconds to wait, whether to fail) for the next request."""
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
