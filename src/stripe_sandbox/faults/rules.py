"""Faults on demand: which requests go wrong, at which point of their work, and how."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stripe_sandbox.errors import INVALID_REQUEST, Json
from stripe_sandbox.faults.webhooks import WebhookFates, WebhookFaults

# Answers that Stripe gives before an operation runs, or a proxy gives for it: never kept under a key.
NOT_KEPT = frozenset({401, 403, 409, 429, 502, 503, 504})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Strict):
    """What a request must have; what is left out matches everything."""

    method: str | None = None
    path_prefix: str = "/"
    key: str | None = None
    key_prefix: str | None = None
    metadata: dict[str, str] = {}


class Rule(_Strict):
    """One fault. `before` the work, `instead` of it, or `after` it is done and durable."""

    match: Match = Match()
    times: int | None = Field(default=None, ge=1)
    phase: Literal["before", "instead", "after"] = "before"
    action: Literal["drop", "reset", "hang", "status", "latency"]
    seconds: float = Field(default=30, ge=0, le=3600)
    ms: int = Field(default=0, ge=0, le=3_600_000)
    code: int = Field(default=500, ge=200, le=599)
    body: Any = None
    headers: dict[str, str] = {}
    sticky: bool | None = None

    @model_validator(mode="after")
    def _instead_means_an_answer(self) -> Rule:
        if self.phase == "instead" and self.action != "status":
            raise ValueError("phase `instead` needs action `status`: use `before` to end a request without work")
        return self

    @property
    def kept(self) -> bool:
        """Whether the answer is kept under the idempotency key and replayed."""
        return self.code not in NOT_KEPT if self.sticky is None else self.sticky


class Plan(_Strict):
    """The body of `POST /sandbox/faults`."""

    rules: list[Rule] = []
    webhooks: WebhookFaults = WebhookFaults()


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes on the wire; with `cut` the connection ends instead."""

    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)
    cut: Literal["drop", "reset"] | None = None


class Faults:
    """The rules in force, and how often each may still strike. They don't survive a restart."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.set(Plan())

    def set(self, plan: Plan) -> None:
        self.webhooks = WebhookFates(plan.webhooks)
        self._rules = list(plan.rules)
        self._left = [rule.times for rule in plan.rules]
        self._struck = [0] * len(plan.rules)

    def shown(self) -> Json:
        rules = [
            {**rule.model_dump(), "left": left, "struck": struck}
            for rule, left, struck in zip(self._rules, self._left, self._struck, strict=True)
        ]
        return {"rules": rules, "webhooks": self.webhooks.shown()}

    def take(self, method: str, path: str, key: str | None, metadata: Json) -> Rule | None:
        """The first rule that matches and isn't used up; it counts as used."""
        for index, rule in enumerate(self._rules):
            left = self._left[index]
            if left == 0 or not _matches(rule.match, method, path, key, metadata):
                continue
            self._left[index] = None if left is None else left - 1
            self._struck[index] += 1
            return rule
        return None


async def suffer(rule: Rule | None, phase: str) -> Answer | None:
    """Let `rule` strike if `phase` is its moment; an answer is what the client gets instead."""
    if rule is None or rule.phase != phase:
        return None
    if rule.action == "latency":
        await asyncio.sleep(rule.ms / 1000)
        return None
    if rule.action == "status":
        return injected(rule)
    if rule.action == "hang":
        await asyncio.sleep(rule.seconds)
    return Answer(0, "", cut="reset" if rule.action == "reset" else "drop")


def injected(rule: Rule) -> Answer:
    """The answer that a `status` rule gives: its own body, or one in Stripe's shape."""
    text = rule.body if isinstance(rule.body, str) else json.dumps(rule.body or _default(rule.code))
    return Answer(rule.code, text, dict(rule.headers))


def _default(code: int) -> Json:
    error: Json = {"type": "api_error" if code >= HTTPStatus.INTERNAL_SERVER_ERROR else INVALID_REQUEST}
    error["message"] = "An error was injected by a fault rule of the sandbox."
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        error["code"] = "rate_limit"
    if code == HTTPStatus.CONFLICT:
        error["code"] = "idempotency_key_in_use"
    return {"error": error}


def _matches(match: Match, method: str, path: str, key: str | None, metadata: Json) -> bool:
    return (
        (match.method is None or match.method.upper() == method)
        and path.startswith(match.path_prefix)
        and (match.key is None or match.key == key)
        and (match.key_prefix is None or (key or "").startswith(match.key_prefix))
        and all(metadata.get(name) == value for name, value in match.metadata.items())
    )
