"""Fault rules: which requests fail, at which point, and how."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stripe_sandbox.errors import Json
from stripe_sandbox.faults.latency import STRIPE, Latencies, Profile
from stripe_sandbox.faults.matching import Match, Target, random_stream
from stripe_sandbox.faults.outage import ActiveBrownOut, BrownOut, FaultPeriod, Outage
from stripe_sandbox.faults.webhooks import ActiveWebhookFaults, WebhookFaults
from stripe_sandbox.wire.auth import masked
from stripe_sandbox.wire.rate_limits import RateLimiter, RateLimits, Reason

Phase = Literal["before", "instead", "after", "body"]
Action = Literal[
    "drop", "reset", "hang", "latency", "truncated", "incomplete",
    "status", "server_error", "bad_gateway", "conflict", "rate_limited",
]  # fmt: skip

# Statuses that Stripe or a proxy returns before an operation runs: not stored under a key.
NOT_STORED = frozenset({401, 403, 409, 429, 502, 503, 504})
PRESETS: Final = {"server_error": 500, "bad_gateway": 502, "conflict": 409, "rate_limited": 429}
RESPONSE_ACTIONS: Final = frozenset({"status", *PRESETS})

# Fields that apply to some actions only.
ACTIONS_OF_FIELD: Final = {
    "code": frozenset({"status"}),
    "body": RESPONSE_ACTIONS,
    "headers": RESPONSE_ACTIONS,
    "sticky": RESPONSE_ACTIONS,
    "ms": frozenset({"latency"}),
    "retry_after_s": frozenset({"rate_limited"}),
    "reason": frozenset({"rate_limited"}),
}


_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Strict):
    """A fault: `before` the work, `instead` of it, `after` it is durable, or in the response `body`.

    The first `after` matching requests pass. After that, each request fails with `probability`, up to `times` in total.
    """

    match: Match = Match()
    times: int | None = Field(default=None, ge=1)
    after: int = Field(default=0, ge=0)
    probability: float = Field(default=1, ge=0, le=1)
    phase: Phase = "before"
    action: Action
    seconds: float = Field(default=30, ge=0, le=3600)
    ms: int = Field(default=0, ge=0, le=3_600_000)
    code: int = Field(default=500, ge=200, le=599)
    body: Any = None
    headers: dict[str, str] = {}
    sticky: bool | None = None
    retry_after_s: int | None = Field(default=None, ge=0, le=86_400)
    reason: Reason | Literal["lock_timeout"] | None = "global-rate"

    @field_validator("headers")
    @classmethod
    def _normalize_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        """Spell header names the way the response does, so that these replace them."""
        for name, value in headers.items():
            if _HEADER_NAME.fullmatch(name) is None or not _HEADER_VALUE.fullmatch(value):
                raise ValueError(
                    f"`{name}` is not a valid header: use letters, digits and dashes, and one line of Latin-1 as value"
                )
        return {name.title(): value for name, value in headers.items()}

    @model_validator(mode="after")
    def _check_combinations(self) -> Rule:
        for name in sorted(self.model_fields_set & ACTIONS_OF_FIELD.keys()):
            if self.action not in ACTIONS_OF_FIELD[name]:
                allowed = ", ".join(f"`{action}`" for action in sorted(ACTIONS_OF_FIELD[name]))
                raise ValueError(f"`{name}` does not apply to action `{self.action}`, only to {allowed}")
        if self.phase == "instead" and self.action not in RESPONSE_ACTIONS:
            raise ValueError(
                f"phase `instead` needs a response, that is action `status` or one of its presets:"
                f" use phase `before` for action `{self.action}`"
            )
        if self.phase == "body" and self.action in RESPONSE_ACTIONS:
            raise ValueError(
                f"phase `body` begins after the status was sent, too late for action `{self.action}`:"
                " use phase `after` to change the response"
            )
        if self.phase == "before" and self.sticky:
            raise ValueError("phase `before` stores no response: use phase `instead` or `after` with `sticky`")
        return self

    @property
    def status(self) -> int:
        return PRESETS.get(self.action, self.code)

    @property
    def stored(self) -> bool:
        """True if the response is stored under the idempotency key and replayed."""
        return self.status not in NOT_STORED if self.sticky is None else self.sticky


class Plan(_Strict):
    """The body of `POST /sandbox/faults` and of a `--faults` file."""

    seed: int = 0
    rules: list[Rule] = []
    webhooks: WebhookFaults = WebhookFaults()
    latency: dict[str, Profile] = {}
    rate_limits: RateLimits | None = None
    outage: Outage | None = None
    brown_out: BrownOut | None = None

    @field_validator("latency", mode="before")
    @classmethod
    def _profile_by_name(cls, value: Any) -> Any:
        return STRIPE if value == "stripe" else value


class PlanError(ValueError):
    """An invalid plan; the message is one sentence that names the field."""


@dataclass(slots=True)
class ActiveRule:
    """A rule in force.

    Each match draws one number from the rule's own stream, whatever the other rules do. The same seed and the same
    requests in the same order therefore give the same faults.
    """

    rule: Rule
    random: Random
    left: int | None
    matched: int = 0
    injected: int = 0

    def applies_to(self, target: Target) -> bool:
        """Count a matching request and return whether to inject the fault."""
        if not self.rule.match.matches(target):
            return False
        self.matched += 1
        hit = self.random.random() < self.rule.probability
        return hit and self.matched > self.rule.after and self.left != 0

    def count(self, times: int) -> None:
        self.injected += times
        self.left = None if self.left is None else self.left - times

    def report(self) -> Json:
        rule = self.rule.model_dump()
        if self.rule.match.api_key is not None:
            rule["match"]["api_key"] = masked(self.rule.match.api_key)
        return {**rule, "left": self.left, "matched": self.matched, "injected": self.injected}


@dataclass(slots=True)
class Injection:
    """The fault and delay for one request; `used` is set once the fault was applied.

    `changed_object` is the id of the object that the request changes.
    """

    rule: Rule | None
    delay_s: float
    changed_object: str | None
    active: ActiveRule | None = None
    used: bool = False


class Faults:
    """The faults in force. They do not survive a restart, except that `--faults` is read again."""

    def __init__(self) -> None:
        self.operations: frozenset[str] = frozenset()
        self.outage_period: FaultPeriod | None = None
        self.changed = asyncio.Event()
        self.clear()

    def clear(self) -> None:
        self.set(Plan())

    def set(self, plan: Plan) -> None:
        """Replace the plan. Raises `PlanError` for an unknown operation."""
        self._check_operations(plan)
        self.webhooks = ActiveWebhookFaults(plan.webhooks)
        self.requests_unaffected = plan == Plan(webhooks=plan.webhooks, seed=plan.seed)
        self.limiter = RateLimiter(plan.rate_limits or RateLimits())
        self.outage = plan.outage
        if self.outage_period is not None:
            self.outage_period.clear()
        self.outage_period = None if plan.outage is None else FaultPeriod(plan.outage.seconds)
        self.plan = plan
        self.changed.set()
        self._brown_out = None if plan.brown_out is None else ActiveBrownOut(plan.brown_out, plan.seed)
        self._latencies = Latencies(plan.latency, plan.seed)
        self._rules = [
            ActiveRule(rule, random_stream(plan.seed, f"rule:{index}"), rule.times)
            for index, rule in enumerate(plan.rules)
        ]

    def report(self) -> Json:
        outage, period = self.outage, self.outage_period
        return {
            "seed": self.plan.seed,
            "rules": [active.report() for active in self._rules],
            "webhooks": self.webhooks.report(),
            "latency": {name: profile.model_dump() for name, profile in self.plan.latency.items()},
            "rate_limits": self.limiter.report() if self.plan.rate_limits is not None else None,
            "outage": {**outage.model_dump(), "left_s": period.left_s, "requests": period.requests}
            if outage and period
            else None,
            "brown_out": self._brown_out.report() if self._brown_out is not None else None,
        }

    def current_outage(self) -> tuple[Outage, FaultPeriod] | None:
        """Return the outage in progress, if any."""
        if self.outage is None or self.outage_period is None or self.outage_period.over:
            return None
        return self.outage, self.outage_period

    def select(self, target: Target) -> Injection:
        """Select the first rule that applies and count it; `return_unused` reverts the count."""
        matching = [active for active in self._rules if active.applies_to(target)]
        slow_ms, fails = (0.0, False) if self._brown_out is None else self._brown_out.draw()
        delay_s = (self._latencies.draw_ms(target) + slow_ms) / 1000
        if matching:
            matching[0].count(1)
            return Injection(matching[0].rule, delay_s, target.changed, matching[0])
        if fails and self._brown_out is not None:
            settings = self._brown_out.settings
            rule = Rule(action="status", code=settings.error_code, phase=settings.error_phase)
            return Injection(rule, delay_s, target.changed)
        return Injection(None, delay_s, target.changed)

    @staticmethod
    def return_unused(injection: Injection) -> None:
        """Uncount a fault whose moment never came because the request was rejected first."""
        if injection.active is not None and not injection.used:
            injection.active.count(-1)

    def _check_operations(self, plan: Plan) -> None:
        named = {rule.match.operation for rule in plan.rules} | plan.latency.keys()
        groups = {None, "authorizations", "reads", "writes"}
        for name in sorted(str(name) for name in named - groups):
            if self.operations and name not in self.operations and not set("*?[") & set(name):
                raise PlanError(f"there is no operation `{name}`: use one of {', '.join(sorted(self.operations))}")
