"""Refunds above the limit of an API key: each needs approval, and its idempotency key then gets the outcome."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from payment_service.db import api_keys, approvals
from payment_service.db.api_keys import KeyLimits, Scope
from payment_service.db.audit import Actor
from payment_service.flows.requests import approvals as flow
from payment_service.flows.requests.approvals import Approvals
from payment_service.flows.requests.idempotency import ChangeRequest
from payment_service.flows.state.errors import Refusal
from tests.support.eventually import eventually_async

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.approvals import Approval
    from tests.support.harness import Harness

BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
REASON = {"reason": "returned goods", "metadata": {"ticket": "4711"}}


@pytest.fixture
async def payment(harness: Harness) -> UUID:
    """Pay 19.90 eur, and use a key that refunds at most 5.00 eur alone."""
    paid = await harness.pay("o-1")
    limits = KeyLimits(refund_amounts_max={"eur": 500}, refunds_per_day=1)
    harness.key = await api_keys.create(harness.flows.pool, client="support", scopes=[Scope.REFUND], limits=limits)
    return paid


async def waiting(harness: Harness) -> Approval:
    [found] = await approvals.open_requests(harness.flows.pool, limit=10)
    return found


def by(person: str, approval: Approval, action: str = "refund") -> ChangeRequest:
    key = f"{action}-{approval.id}-{person}"
    actor = Actor(client="cli", person=person)
    return ChangeRequest(actor=actor, key=key, action=action, payment_id=approval.payment_id, parameters={})


async def outcome(harness: Harness, payment: UUID, **changes: Any) -> tuple[int, str, str]:
    """Send the request again, and return the status, the type of the problem and its sentence."""
    answer = await harness.refund(payment, **{"amount": "6.00", "key": "job-1", **REASON, **changes})
    problem = answer.json
    return answer.status, problem.get("type", "").rpartition(":")[2], problem.get("detail", "")


async def test_the_same_key_gets_the_refund_after_a_person_approved(harness: Harness, payment: UUID) -> None:
    for _ in range(2):
        status, kind, detail = await outcome(harness, payment)
        assert (status, kind) == (409, "needs_approval")
        assert "at most 5.00 eur at a time: a second person must approve." in detail
    approval = await waiting(harness)
    assert (approval.order_id, approval.requested_by, str(approval.amount)) == ("o-1", "API client support", "6.00 eur")

    made = await Approvals(harness.context()).approve(approval, by("ada", approval))
    answer = await harness.refund(payment, "6.00", "job-1", **REASON)
    assert (answer.status, answer.json["id"], answer.json["metadata"]) == (201, made.result["id"], {"ticket": "4711"})
    assert (await harness.refund(payment, "6.00", "job-1", **REASON)).headers["idempotent-replayed"] == "true"
    await harness.run_until_idle()
    ledger = [entry["amount"] for entry in harness.sandbox.ledger() if entry["effect"] == "refund.created"]
    assert ledger == [600]
    rows = await harness.flows.pool.fetch("SELECT client, action FROM audit WHERE action LIKE 'refund%' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("support", "refund.request_approval"),
        ("cli:ada", "refund"),
        ("support", "refund"),
    ]


async def test_an_approved_refund_does_not_use_up_the_keys_day(harness: Harness, payment: UUID) -> None:
    """The person answers for it, so the key keeps what it may do alone."""
    await outcome(harness, payment)
    approval = await waiting(harness)
    await Approvals(harness.context()).approve(approval, by("ada", approval))
    assert (await harness.refund(payment, "1.00")).status == 201
    assert (await harness.refund(payment, "1.00")).status == 429


async def test_the_same_key_learns_that_the_refund_was_declined(harness: Harness, payment: UUID) -> None:
    await outcome(harness, payment)
    approval = await waiting(harness)
    await Approvals(harness.context()).decline(approval, by("ada", approval, "refund.decline"))
    assert await outcome(harness, payment) == (409, "not_allowed", "ada has declined this refund.")


async def test_nobody_approves_after_24_hours_of_the_databases_clock(harness: Harness, payment: UUID) -> None:
    await outcome(harness, payment)
    approval = await waiting(harness)
    lifetime = "SELECT expires_at - requested_at = interval '24 h' FROM approvals"
    assert await harness.flows.pool.fetchval(lifetime)
    await harness.flows.pool.execute("UPDATE approvals SET expires_at = now()")
    status, kind, detail = await outcome(harness, payment)
    assert (status, kind, "within 24 hours" in detail) == (409, "not_allowed", True)
    with pytest.raises(Refusal, match="expired after 24 hours"):
        await Approvals(harness.context()).approve(approval, by("ada", approval))
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM refunds") == 0


async def test_a_request_that_expires_while_its_approval_waits_for_a_lock_is_not_approved(
    harness: Harness, payment: UUID
) -> None:
    """`now()` is the time at which the transaction began, when the request was still open."""
    await outcome(harness, payment)
    approval = await waiting(harness)
    async with harness.flows.pool.acquire() as other:
        async with other.transaction():
            await other.execute("SELECT FROM payments WHERE id = $1 FOR UPDATE", payment)
            approving = asyncio.create_task(Approvals(harness.context()).approve(approval, by("ada", approval)))
            await eventually_async(lambda: harness.flows.pool.fetchval(BLOCKED))
            await other.execute("UPDATE approvals SET expires_at = clock_timestamp()")
        with pytest.raises(Refusal, match="expired after 24 hours"):
            await approving
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM refunds") == 0


async def test_the_key_of_a_waiting_refund_takes_no_other_request(harness: Harness, payment: UUID) -> None:
    await outcome(harness, payment)
    for changes in ({"amount": "7.00"}, {"reason": "other"}):
        assert (await outcome(harness, payment, **changes))[:2] == (422, "idempotency_mismatch")
    assert (await waiting(harness)).amount.minor == 600


async def test_requests_that_arrive_at_once_wait_as_one(harness: Harness, payment: UUID) -> None:
    answers = await asyncio.gather(*(outcome(harness, payment) for _ in range(6)))
    assert {kind for _, kind, _ in answers} <= {"needs_approval", "in_progress"}
    await waiting(harness)


async def test_two_people_who_approve_at_once_make_one_refund(harness: Harness, payment: UUID) -> None:
    await outcome(harness, payment)
    approval = await waiting(harness)
    done = await asyncio.gather(
        *(Approvals(harness.context()).approve(approval, by(person, approval)) for person in ("ada", "bob")),
        return_exceptions=True,
    )
    [refused] = [str(one) for one in done if isinstance(one, Refusal)]
    assert refused in {f"{person} has approved this request already." for person in ("ada", "bob")}
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM refunds") == 1


async def test_the_refund_of_a_key_without_the_limit_is_not_made_again_by_an_approval(
    harness: Harness, payment: UUID
) -> None:
    """Another key of the client may carry the same idempotency key, and needs nobody."""
    await outcome(harness, payment)
    approval = await waiting(harness)
    harness.key = await api_keys.create(harness.flows.pool, client="support", scopes=[Scope.REFUND])
    assert (await outcome(harness, payment))[0] == 201
    await Approvals(harness.context()).approve(approval, by("ada", approval))
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM refunds") == 1


async def test_a_job_cannot_bury_the_requests_of_others(
    harness: Harness, payment: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "OPEN_PER_CLIENT_MAX", 2)
    kinds = [(await outcome(harness, payment, key=f"job-{number}"))[1] for number in range(3)]
    assert kinds == ["needs_approval", "needs_approval", "too_many_requests"]
