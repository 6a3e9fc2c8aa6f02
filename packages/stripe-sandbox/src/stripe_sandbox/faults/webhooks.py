"""Faults of webhooks: events doubled, late, out of order, lost, never made, or wrongly signed.

All of them are rules; what the plan says for every event alike is a rule that aims at everything. Chance has a
seed: the same events in the same order meet the same fate.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stripe_sandbox.errors import Json

DELAY_LIMIT_MS = 30 * 24 * 3_600_000  # after 30 days Stripe has forgotten the event
COPIES_LIMIT = 100  # more than anybody's queue would offer again

WrongSignature = Literal["bad_signature", "stale_timestamp", "old_secret"]
Action = Literal["duplicate", "delay", "drop", "never_generated", "twin", WrongSignature]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WebhookRule(_Strict):
    """What befalls events of these types (`*` stands for anything) about objects with this metadata.

    Every rule that matches takes effect. `copies` and `delay_ms` (of the copies) belong to `duplicate`; `delay_ms`
    and `jitter_ms` (drawn for each event, added) to `delay`; `attempts`, how many are signed wrongly before
    the first right one, to the three wrong signatures.
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
    """The part `webhooks` of a fault plan: what aims at every event or at types alone, and the rules that aim closer.

    `duplicate`: extra deliveries of each event; `reorder_ms`: each event waits a time drawn from 0 to this;
    `drop`, `never_generated`, `twins`: patterns of event types.
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
    """What befalls one event; `copies` are the delays, in seconds, of its extra deliveries."""

    generated: bool = True
    twin: bool = False
    dropped: bool = False
    delay_s: float = 0.0
    copies: tuple[float, ...] = ()
    wrong: WrongSignature | None = None
    wrong_attempts: int = 0


class ActiveWebhookFaults:
    """The webhook faults in force, and how often each rule has struck."""

    def __init__(self, faults: WebhookFaults) -> None:
        self.faults = faults
        self._rules = [*_general(faults), *faults.rules]
        self._general = len(self._rules) - len(faults.rules)
        self._injected = [0] * len(self._rules)
        self._random = [_random_stream(faults.seed, index) for index in range(len(self._rules))]

    @property
    def any(self) -> bool:
        """Whether an event's fate can be anything but plain delivery."""
        return bool(self._rules)

    def draw(self, kind: str, metadata: Json) -> EventEffects:
        """The fate of the next event, of type `kind`; each rule that strikes counts."""
        effects = EventEffects()
        for index, rule in enumerate(self._rules):
            if self._draws(index, rule, kind, metadata):
                self._injected[index] += 1
                _add(effects, rule, self._random[index])
        return effects

    def report(self) -> Json:
        injected = self._injected[self._general :]
        rules = [
            {**rule.model_dump(), "left": None if rule.times is None else rule.times - count, "injected": count}
            for rule, count in zip(self.faults.rules, injected, strict=True)
        ]
        return {**self.faults.model_dump(), "rules": rules}

    def _draws(self, index: int, rule: WebhookRule, kind: str, metadata: Json) -> bool:
        if rule.times is not None and self._injected[index] >= rule.times:
            return False
        if not any(fnmatchcase(kind, pattern) for pattern in rule.types):
            return False
        if any(metadata.get(name) != value for name, value in rule.metadata.items()):
            return False
        return rule.probability >= 1 or self._random[index].random() < rule.probability


def _general(faults: WebhookFaults) -> list[WebhookRule]:
    """The rules that the short forms stand for."""
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


def _random_stream(seed: int, index: int) -> Random:
    """The chance of one rule, its own, so that another rule more or less changes nothing for this one."""
    return Random(f"{seed}:{index}")  # noqa: S311 (it plays dice, it keeps no secret)


def _add(effects: EventEffects, rule: WebhookRule, chance: Random) -> None:
    match rule.action:
        case "duplicate":
            effects.copies += (rule.delay_ms / 1000,) * rule.copies
        case "delay":
            effects.delay_s += (rule.delay_ms + chance.randint(0, rule.jitter_ms)) / 1000
        case "drop":
            effects.dropped = True
        case "never_generated":
            effects.generated = False
        case "twin":
            effects.twin = True
        case wrong:
            effects.wrong, effects.wrong_attempts = wrong, rule.attempts
