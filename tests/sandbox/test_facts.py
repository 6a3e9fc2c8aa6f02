"""What a real account is known to answer, one row a fact; the sandbox must answer the same.

Two projects have written down what they saw at version 2026-08-26.dahlia: `aat` is https://github.com/gburgyan/aat-stripe,
whose plans assert it against Stripe's test mode, `shw` is seahaven-stripe-world (on PyPI), which recorded probes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import stripe

from tests.sandbox.facts.aftermath import DISPUTING, KEYS, REFUNDING, REST
from tests.sandbox.facts.changes import BANKS, CANCELING, CAPTURING, UPDATING
from tests.sandbox.facts.confirmations import CONFIRMING, CREATING
from tests.sandbox.facts.obstacles import AUTHENTICATING, DECLINES
from tests.sandbox.facts.table import ABSENT, SOME, Fact, Starts, Step
from tests.support.sandbox import SandboxProcess

FACTS = [
    *CREATING,
    *CONFIRMING,
    *DECLINES,
    *AUTHENTICATING,
    *CAPTURING,
    *CANCELING,
    *UPDATING,
    *BANKS,
    *REFUNDING,
    *DISPUTING,
    *KEYS,
    *REST,
]


class Account:
    """The official SDK's raw requests, and what each step was answered."""

    def __init__(self, client: Any, sandbox: SandboxProcess) -> None:
        self._client = client
        self._sandbox = sandbox
        self.answers: list[dict[str, Any]] = []

    def do(self, step: Step) -> None:
        kind, subject, *rest = (self.filled(part) for part in step)
        if kind == "clock":
            self._sandbox.advance(subject)
            self.answers.append({})
        elif kind == "events":
            self.answers.append({"types": list(self._events(subject, rest))})
        else:
            self.answers.append(self._call(kind, subject, *rest))

    def filled(self, value: Any) -> Any:
        """`value` with what earlier steps answered in place of its `{0.id}`."""
        if isinstance(value, str):
            return re.sub(r"\{(\d+)\.([\w.]+)\}", lambda found: str(self._earlier(found)), value)
        if isinstance(value, Starts):
            return Starts(self.filled(value.text))
        if isinstance(value, dict):
            return {name: self.filled(item) for name, item in value.items()}
        return [self.filled(item) for item in value] if isinstance(value, list) else value

    def _earlier(self, found: re.Match[str]) -> Any:
        return at(self.answers[int(found[1])], found[2])

    def _call(
        self, method: str, path: str, params: dict[str, Any] | None = None, options: Any = None
    ) -> dict[str, Any]:
        try:
            response = self._client.raw_request(method, path, **(params or {}), **(options or {}))
            status, body, headers = response.code, response.body, response.headers
        except stripe.StripeError as refused:
            status, body, headers = refused.http_status, refused.http_body, refused.headers or {}
        answer: dict[str, Any] = json.loads(str(body))
        return {**answer, "http": status, "header": dict(headers), "request": dict(headers)["Request-Id"]}

    def _events(self, intent: str, types: Sequence[str]) -> Iterator[str]:
        """Of these types, or all but those that come when money is booked; oldest first."""
        for event in reversed(self._call("get", "/v1/events", {"limit": 100})["data"]):
            subject = event["data"]["object"]
            wanted = event["type"] in types if types else event["type"] != "charge.updated"
            if wanted and intent in (subject["id"], subject.get("payment_intent")):
                yield event["type"]


def at(value: Any, path: str) -> Any:
    """What the dotted `path` leads to, or ABSENT."""
    for name in path.split("."):
        if isinstance(value, list):
            value = value[int(name)] if int(name) < len(value) else ABSENT
        else:
            value = value.get(name, ABSENT) if isinstance(value, dict) else ABSENT
    return value


def agrees(found: Any, expected: Any) -> bool:
    if expected is SOME:
        return found is not ABSENT and found is not None
    if isinstance(expected, Starts):
        return isinstance(found, str) and found.startswith(expected.text)
    return bool(found == expected)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{fact.source}: {fact.name}")
def test_the_sandbox_answers_as_a_real_account_did(client: Any, sandbox: SandboxProcess, fact: Fact) -> None:
    account = Account(client, sandbox)
    for step in fact.steps:
        account.do(step)

    answer = account.answers[-1]
    expected = {path: account.filled(value) for path, value in fact.answered.items()}
    wrong = {path: at(answer, path) for path, value in expected.items() if not agrees(at(answer, path), value)}
    assert wrong == {}, {path: expected[path] for path in wrong}


def test_every_fact_has_a_name_of_its_own_and_a_source() -> None:
    assert len({fact.name for fact in FACTS}) == len(FACTS)
    assert {fact.source for fact in FACTS} == {"aat", "shw"}
