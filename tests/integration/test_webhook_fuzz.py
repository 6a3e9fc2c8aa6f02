"""Fuzz signed webhooks: each is durable or refused in one sentence, never a 5xx, and never lost."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.deliveries import Inbox, assert_refused, endpoint, event, intent, post
from tests.support.harness import Harness, open_harness
from tests.support.http import served
from tests.support.sandbox import SandboxProcess

SUBJECTS: dict[str, dict[str, Any]] = {
    "payment_intent.succeeded": intent("o-1"),
    "charge.succeeded": {"id": "ch_1", "payment_intent": "pi_o-1", "payment_method_details": {"type": "card"}},
    "refund.created": {"id": "re_1", "payment_intent": "pi_o-1", "amount": 500, "currency": "eur", "status": "pending"},
    "charge.dispute.created": {"id": "du_1", "payment_intent": "pi_o-1", "amount": 1990, "currency": "eur"},
}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def paths(value: Any) -> list[tuple[Any, ...]]:
    """Return the paths of all nested values."""
    if not isinstance(value, dict):
        return [()]
    return [(name, *rest) for name, inner in value.items() for rest in [(), *paths(inner)] if (name, *rest)]


@st.composite
def corrupted(draw: st.DrawFn) -> bytes:
    """Draw an event with up to three of its parts replaced or removed."""
    kind = draw(st.sampled_from(sorted(SUBJECTS)))
    found = json.loads(event(kind, copy.deepcopy(SUBJECTS[kind]), id=f"evt_{draw(st.integers(0, 10**6))}"))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(sorted(set(paths(found)))))
        holder = found
        for name in way:
            holder = holder[name]
        if draw(st.booleans()):
            holder[last] = draw(anything)
        else:
            holder.pop(last)
        if not found:
            break
    return json.dumps(found).encode()


garbage = st.text(st.characters(max_codepoint=127)).map(str.encode) | anything.map(json.dumps).map(str.encode)


@pytest.fixture
async def harness(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Harness]:
    async with open_harness(database_dsn, sandbox) as opened:
        await opened.flows.accept("o-1")
        await opened.flows.run_calls()
        yield opened


@pytest.mark.timeout(300)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=corrupted() | garbage)
async def test_corrupted_signed_events_are_stored_or_quarantined(harness: Harness, body: bytes) -> None:
    """A refused body is quarantined: Stripe sent it, so an operator must be able to inspect it."""
    inbox = Inbox()
    async with served(endpoint(inbox, store_event=harness.webhooks.take)) as port:
        answer = await post(port, body)
    if answer.status == 200:
        name = json.loads(body)["id"]
        assert await harness.flows.pool.fetchval(
            "SELECT count(*) FROM payment_events WHERE provider_event_id = $1", name
        )
    else:
        assert_refused(answer, 400)
        assert answer.json["type"] == "urn:payment-service:not_an_event"
        assert len(inbox.quarantined) == 1
    row = await harness.flows.payment("o-1")
    assert (row["amount"], row["currency"]) == (1990, "eur")
