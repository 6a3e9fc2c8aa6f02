"""Webhook faults: duplicated, late, reordered, lost, missing or wrongly signed events.

Every fault is a rule; the plan's short forms become rules that match all events or whole types. Randomness is seeded:
the same events in the same order meet the same faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stripe_sandbox.errors import Json
from stripe_sandbox.faults.matching import random_stream

DELAY_LIMIT_MS = 30 * 24 * 3_600_000  # Stripe forgets an event after 30 days
COPIES_LIMIT = 100  # more than any queue would redeliver

WrongSignature = Literal["bad_signature", "stale_timestamp", "old_secret"]
Action = Literal["duplicate", "delay", "drop", "never_generated", "twin", WrongSignature]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WebhookRule(_Strict):
    """A fault for events of these types (`*` is a wildcard) about objects with this metadata.

    Every matching rule applies. `copies` and `delay_ms` (of the copies) belong to `duplicate`. `delay_ms` and
    `jitter_ms` (drawn per event and added) belong to `delay`. `attempts` belongs to the wrong signatures: it is the
    number of wrongly signed attempts before the first correct one.
    """

    types: list[str] = ["*"]
    metadata: dict[str, str] = {}
    probability: float = Field(default=1, ge=0, le=1)
    times: int | None = Field(default=None, ge=1)
    action: Action
    copies: int = Field(default=1, ge=1, le=COPIES_LIMIT)
    delay_ms: int = Field(default=0, ge=0, le=DELAY_LIMIT_MS)
    jitter_ms: int = Field(default=0, ge=0, le=DELAY_LIMIT_MS)
    attempts: int = Field(default=1, ge=1, le=100)


class WebhookFaults(_Strict):
    """The `webhooks` part of a fault plan: short forms for all events or types, and specific rules.

    `duplicate`: extra deliveries of each event. `reorder_ms`: each event waits a random time from 0 to this. `drop`,
    `never_generated`, `twins`: patterns of event types.
    """

    seed: int = 0
    duplicate: int = Field(default=0, ge=0, le=COPIES_LIMIT)
    delay_ms: int = Field(default=0, ge=0, le=DELAY_LIMIT_MS)
    reorder_ms: int = Field(default=0, ge=0, le=DELAY_LIMIT_MS)
    drop: list[str] = []
    never_generated: list[str] = []
    twins: list[str] = []
    before_response: bool = False
    rules: list[WebhookRule] = []


@dataclass(slots=True)
class EventEffects:
    """The effects of all matching rules on one event; `copies` are the delays of extra deliveries, in seconds."""

    generated: bool = True
    twin: bool = False
    dropped: bool = False
    delay_s: float = 0.0
    copies: tuple[float, ...] = ()
    wrong: WrongSignature | None = None
    wrong_attempts: int = 0


class ActiveWebhookFaults:
    """The webhook faults in force, and how often each rule was injected."""

    def __init__(self, faults: WebhookFaults) -> None:
        self.faults = faults
        self._rules = [*_short_form_rules(faults), *faults.rules]
        self._short_forms = len(self._rules) - len(faults.rules)
        self._injected = [0] * len(self._rules)
        self._random = [random_stream(faults.seed, str(index)) for index in range(len(self._rules))]

    @property
    def any(self) -> bool:
        """True if any rule is in force."""
        return bool(self._rules)

    def draw(self, kind: str, metadata: Json) -> EventEffects:
        """Draw the effects on the next event, of type `kind`, and count the rules that apply."""
        effects = EventEffects()
        for index, rule in enumerate(self._rules):
            if self._applies(index, rule, kind, metadata):
                self._injected[index] += 1
                _add(effects, rule, self._random[index])
        return effects

    def report(self) -> Json:
        injected = self._injected[self._short_forms :]
        rules = [
            {**rule.model_dump(), "left": None if rule.times is None else rule.times - count, "injected": count}
            for rule, count in zip(self.faults.rules, injected, strict=True)
        ]
        return {**self.faults.model_dump(), "rules": rules}

    def _applies(self, index: int, rule: WebhookRule, kind: str, metadata: Json) -> bool:
        if rule.times is not None and self._injected[index] >= rule.times:
            return False
        if not any(fnmatchcase(kind, pattern) for pattern in rule.types):
            return False
        if any(metadata.get(name) != value for name, value in rule.metadata.items()):
            return False
        return rule.probability >= 1 or self._random[index].random() < rule.probability


def _short_form_rules(faults: WebhookFaults) -> list[WebhookRule]:
    """Return the rules that the short forms stand for."""
    rules: list[WebhookRule] = []
    if faults.duplicate:
        rules.append(WebhookRule(action="duplicate", copies=faults.duplicate))
    if faults.delay_ms or faults.reorder_ms:
        rules.append(WebhookRule(action="delay", delay_ms=faults.delay_ms, jitter_ms=faults.reorder_ms))
    if faults.drop:
        rules.append(WebhookRule(action="drop", types=faults.drop))
    if faults.never_generated:
        rules.append(WebhookRule(action="never_generated", types=faults.never_generated))
    if faults.twins:
        rules.append(WebhookRule(action="twin", types=faults.twins))
    return rules


def _add(effects: EventEffects, rule: WebhookRule, random: Random) -> None:
    match rule.action:
        case "duplicate":
            effects.copies += (rule.delay_ms / 1000,) * rule.copies
        case "delay":
            effects.delay_s += (rule.delay_ms + random.randint(0, rule.jitter_ms)) / 1000
        case "drop":
            effects.dropped = True
        case "never_generated":
            effects.generated = False
        case "twin":
            effects.twin = True
        case wrong:
            effects.wrong, effects.wrong_attempts = wrong, rule.attempts
