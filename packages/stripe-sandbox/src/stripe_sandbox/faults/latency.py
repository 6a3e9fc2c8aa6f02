"""Response times: log-normal per kind of operation, with spikes, from a seed.

The built-in `"stripe"` profile is an estimate for tests of timeouts and throughput. Stripe publishes no figures and
recommends mocks "with sampled latencies" (https://docs.stripe.com/rate-limits).
"""

from __future__ import annotations

import math
from random import Random
from statistics import NormalDist
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stripe_sandbox.faults.matching import Target, random_stream

_NORMAL: Final = NormalDist()
Z_OF_P99 = _NORMAL.inv_cdf(0.99)  # standard deviations from the median to the 99th percentile
CAP_MS = 80_000  # the official SDK gives up after 80 s, so longer times make no difference


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Spikes(_Strict):
    """Extra time: with this probability, a request takes `ms` longer."""

    probability: float = Field(ge=0, le=1)
    ms: int = Field(ge=0, le=CAP_MS)


class Profile(_Strict):
    """A log-normal distribution: its median, and its spread as `p99_ms` or as `sigma` of the logarithm."""

    median_ms: float = Field(gt=0, le=CAP_MS)
    p99_ms: float | None = Field(default=None, le=CAP_MS)
    sigma: float | None = Field(default=None, ge=0, le=5)
    spikes: Spikes | None = None

    @model_validator(mode="after")
    def _one_spread(self) -> Profile:
        if self.p99_ms is not None and self.sigma is not None:
            raise ValueError("give p99_ms or sigma, not both")
        if self.p99_ms is not None and self.p99_ms < self.median_ms:
            raise ValueError("p99_ms must not be below median_ms")
        return self

    def draw_ms(self, random: Random) -> float:
        """Draw the time of one request. Always draws two numbers, so that spikes do not shift the sequence."""
        normal = _normal(random.random())
        chance = random.random()
        spike = self.spikes.ms if self.spikes is not None and chance < self.spikes.probability else 0
        return min(CAP_MS, self.median_ms * math.exp(self._sigma() * normal) + spike)

    def _sigma(self) -> float:
        if self.p99_ms is not None:
            return math.log(self.p99_ms / self.median_ms) / Z_OF_P99
        return self.sigma or 0.0


STRIPE = {
    "authorizations": Profile(median_ms=1500, p99_ms=6000, spikes=Spikes(probability=0.01, ms=10_000)),
    "refunds.create": Profile(median_ms=500, p99_ms=2000),
    "reads": Profile(median_ms=80, p99_ms=300),
    "writes": Profile(median_ms=150, p99_ms=600),
}


class Latencies:
    """The active profiles. Each has its own random stream, so operations do not affect each other."""

    def __init__(self, profiles: dict[str, Profile], seed: int) -> None:
        self._profiles = profiles
        self._random = {name: random_stream(seed, f"latency:{name}") for name in profiles}

    def draw_ms(self, target: Target) -> float:
        """Draw from the most specific profile that applies; without one, return 0."""
        for name in profile_names(target):
            profile = self._profiles.get(name)
            if profile is not None:
                return profile.draw_ms(self._random[name])
        return 0.0


def profile_names(target: Target) -> tuple[str, ...]:
    """Return the profile names that apply to a request, the most specific first."""
    group = "reads" if target.method == "GET" else "writes"
    return (*(("authorizations",) if target.authorizes else ()), target.operation, group)


def _normal(uniform: float) -> float:
    """Return the standard normal quantile of a number in [0, 1)."""
    return _NORMAL.inv_cdf(min(max(uniform, 1e-12), 1 - 1e-12))
