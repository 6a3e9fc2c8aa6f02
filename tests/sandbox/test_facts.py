"""Facts observed on real Stripe accounts: the sandbox must respond in the same way.

Two projects recorded them at version 2026-08-26.dahlia. `aat` is https://github.com/gburgyan/aat-stripe, whose plans run
against Stripe's test mode. `shw` is seahaven-stripe-world (on PyPI), which recorded probes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import stripe

from tests.sandbox.facts.captures_cancellations_debits import BANKS, CANCELING, CAPTURING, UPDATING
from tests.sandbox.facts.creation_confirmation import CONFIRMING, CREATING
from tests.sandbox.facts.declines_authentication import AUTHENTICATING, DECLINES
from tests.sandbox.facts.refunds_disputes_keys import DISPUTING, KEYS, REFUNDING, REST
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
    """Run steps through the official SDK's raw requests and keep each response."""

    def __init__(self, client: Any, sandbox: SandboxProcess) -> None:
        self._client = client
        self._sandbox = sandbox
        self.responses: list[dict[str, Any]] = []

    def run(self, step: Step) -> None:
        kind, subject, *rest = (self.filled(part) for part in step)
        if kind == "clock":
            self._sandbox.advance(subject)
            self.responses.append({})
        elif kind == "events":
            self.responses.append({"types": list(self._events(subject, rest))})
        else:
            self.responses.append(self._call(kind, subject, *rest))

    def filled(self, value: Any) -> Any:
        """Return `value` with placeholders such as `{0.id}` replaced from earlier responses."""
        if isinstance(value, str):
            return re.sub(r"\{(\d+)\.([\w.]+)\}", lambda found: str(self._earlier(found)), value)
        if isinstance(value, Starts):
            return Starts(self.filled(value.text))
        if isinstance(value, dict):
            return {name: self.filled(item) for name, item in value.items()}
        return [self.filled(item) for item in value] if isinstance(value, list) else value

    def _earlier(self, found: re.Match[str]) -> Any:
        return at(self.responses[int(found[1])], found[2])

    def _call(
        self, method: str, path: str, params: dict[str, Any] | None = None, options: Any = None
    ) -> dict[str, Any]:
        try:
            response = self._client.raw_request(method, path, **(params or {}), **(options or {}))
            status, body, headers = response.code, response.body, response.headers
        except stripe.StripeError as error:
            status, body, headers = error.http_status, error.http_body, error.headers or {}
        content: dict[str, Any] = json.loads(str(body))
        return {**content, "http": status, "header": dict(headers), "request": dict(headers)["Request-Id"]}

    def _events(self, intent: str, types: Sequence[str]) -> Iterator[str]:
        """Yield the intent's events of these types, oldest first. Without types, yield all but `charge.updated`."""
        for event in reversed(self._call("get", "/v1/events", {"limit": 100})["data"]):
            subject = event["data"]["object"]
            wanted = event["type"] in types if types else event["type"] != "charge.updated"
            if wanted and intent in (subject["id"], subject.get("payment_intent")):
                yield event["type"]


def at(value: Any, path: str) -> Any:
    """Return the value at the dotted `path`, or ABSENT."""
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
def test_sandbox_responds_like_a_real_account(client: Any, sandbox: SandboxProcess, fact: Fact) -> None:
    account = Account(client, sandbox)
    for step in fact.steps:
        account.run(step)

    response = account.responses[-1]
    expected = {path: account.filled(value) for path, value in fact.expected.items()}
    wrong = {path: at(response, path) for path, value in expected.items() if not agrees(at(response, path), value)}
    assert wrong == {}, {path: expected[path] for path in wrong}


def test_every_fact_has_a_unique_name_and_a_known_source() -> None:
    assert len({fact.name for fact in FACTS}) == len(FACTS)
    assert {fact.source for fact in FACTS} == {"aat", "shw"}
