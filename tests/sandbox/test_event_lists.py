"""Lists of `/v1/events`: filters by type and time, paging, and retention for thirty days."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.test_webhooks import DAY_S, OPEN, PAID_EVENTS, pay
from tests.support.sandbox import SandboxProcess


@pytest.fixture
def started(own_sandbox: SandboxProcess) -> SandboxProcess:
    own_sandbox.start()
    return own_sandbox


def test_events_are_listed_newest_first_by_type(started: SandboxProcess) -> None:
    pay(started)
    client: Any = started.client()

    def listed(**params: Any) -> list[str]:
        return [event.type for event in client.v1.events.list(params).data]

    assert listed() == PAID_EVENTS[::-1]
    assert listed(type="payment_intent.*") == ["payment_intent.succeeded", "payment_intent.created"]
    assert listed(type="*") == PAID_EVENTS[::-1]
    assert listed(types=["charge.succeeded", "charge.failed"]) == ["charge.succeeded"]
    for invalid in ({"type": "*", "types": ["charge.failed"]}, {"types": ["charge.failed"] * 21}):
        with pytest.raises(stripe.InvalidRequestError):
            listed(**invalid)


def test_events_are_paged_in_both_directions(started: SandboxProcess) -> None:
    pay(started)
    client: Any = started.client()
    newest, middle, oldest = client.v1.events.list().data

    def listed(**params: Any) -> tuple[list[str], bool]:
        page = client.v1.events.list(params)
        return [event.id for event in page.data], page.has_more

    assert listed(limit=1) == ([newest.id], True)
    assert listed(limit=1, starting_after=newest.id) == ([middle.id], True)
    assert listed(starting_after=middle.id) == ([oldest.id], False)
    assert listed(ending_before=oldest.id, limit=1) == ([middle.id], True)
    assert listed(ending_before=oldest.id) == ([newest.id, middle.id], False)
    assert listed(ending_before=newest.id) == ([], False)
    forward = client.v1.events.list({"ending_before": oldest.id, "limit": 1}).auto_paging_iter()
    assert [event.id for event in forward] == [middle.id, newest.id]


def test_events_are_filtered_by_created(started: SandboxProcess) -> None:
    client: Any = started.client()
    client.v1.payment_intents.create(OPEN)
    started.advance(100)
    client.v1.payment_intents.create(OPEN)
    late, early = client.v1.events.list().data
    assert late.created >= early.created + 100

    def listed(**created: int) -> list[str]:
        return [event.id for event in client.v1.events.list({"created": created}).data]

    assert listed(gt=early.created) == listed(gte=late.created) == [late.id]
    assert listed(lt=late.created) == listed(lte=early.created) == [early.id]
    assert [event.id for event in client.v1.events.list({"created": late.created}).data] == [late.id]


def test_events_are_kept_for_thirty_days(started: SandboxProcess) -> None:
    client: Any = started.client()
    client.v1.payment_intents.create(OPEN)
    [event] = client.v1.events.list().data
    started.advance(30 * DAY_S + 1)
    client.v1.payment_intents.create(OPEN)

    assert event.id not in [one.id for one in client.v1.events.list().data]
    with pytest.raises(stripe.InvalidRequestError, match="No such event"):
        client.v1.events.retrieve(event.id)
