"""Test the refund limits of API keys: the largest refund, and number and sum per day, shared by all replicas."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from payment_service.db import api_keys
from payment_service.db.api_keys import KeyLimits, Scope
from tests.support.harness import Harness, open_harness

if TYPE_CHECKING:
    from uuid import UUID

    from tests.support.sandbox import SandboxProcess


async def limit(harness: Harness, **limits: object) -> UUID:
    """Give the harness a key of another client with these limits, and return the key's id."""
    given = KeyLimits(**limits)  # type: ignore[arg-type]
    scopes = [Scope.REFUND]
    harness.key = await api_keys.create(harness.flows.pool, client="support", scopes=scopes, limits=given)
    found: UUID = await harness.flows.pool.fetchval("SELECT id FROM api_keys WHERE client = 'support'")
    return found


def refunded(harness: Harness) -> int:
    """Return the sum of refunds at the provider."""
    return sum(entry["amount"] for entry in harness.sandbox.ledger() if entry["effect"] == "refund.created")


async def test_a_refund_above_the_keys_largest_needs_approval(harness: Harness) -> None:
    """The whole remaining amount counts too, which the request does not name."""
    payment = await harness.pay("o-1")
    await limit(harness, refund_amounts_max={"eur": 500})
    for amount in ("5.01", None):
        answer = await harness.refund(payment, amount)
        assert (answer.status, answer.json["type"]) == (409, "urn:payment-service:needs_approval")
        assert "at most 5.00 eur at a time" in answer.json["detail"]
    assert (await harness.refund(payment, "5.00")).status == 201
    await harness.run_until_idle()
    assert refunded(harness) == 500


async def test_a_key_refunds_no_currency_without_a_limit_of_its_own(harness: Harness) -> None:
    """Otherwise a limit in one currency would leave all others open."""
    payment = await harness.pay("o-1")
    await limit(harness, refund_amounts_per_day={"usd": 10_000})
    answer = await harness.refund(payment, "5.00")
    assert (answer.status, "only usd, not eur" in answer.json["detail"]) == (403, True)


async def test_the_sum_of_a_day_is_refused_with_what_is_left_and_until_when(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await limit(harness, refund_amounts_per_day={"eur": 1_200})
    assert (await harness.refund(payment, "8.00", "job-1")).status == 201
    answer = await harness.refund(payment, "5.00", "job-2")
    assert (answer.status, answer.json["type"]) == (429, "urn:payment-service:too_many_requests")
    assert "at most 12.00 eur a day, and 4.00 eur are left today" in answer.json["detail"]
    assert 0 < int(answer.headers["retry-after"]) <= 86_400
    now = await harness.flows.pool.fetchval("SELECT now()")
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time())
    assert f"{midnight:%Y-%m-%dT%H:%MZ}" in answer.json["detail"]
    assert (await harness.refund(payment, "4.00", "job-3")).status == 201
    assert (await harness.refund(payment, "8.00", "job-1")).headers["idempotent-replayed"] == "true"


async def test_the_limits_start_again_the_next_day(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    await limit(harness, refunds_per_day=1)
    assert (await harness.refund(payment, "1.00")).status == 201
    assert (await harness.refund(payment, "1.00")).status == 429
    await harness.flows.pool.execute("UPDATE api_key_refunds SET day = day - 1")
    assert (await harness.refund(payment, "1.00")).status == 201


async def test_a_rotated_key_does_not_restart_the_limits_of_the_day(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    key_id = await limit(harness, refunds_per_day=1)
    assert (await harness.refund(payment, "1.00")).status == 201
    rotated = await api_keys.rotate(harness.flows.pool, key_id, overlap=timedelta(hours=1))
    assert rotated is not None
    harness.key = rotated[1]
    answer = await harness.refund(payment, "1.00")
    assert (answer.status, "refunds per day, 1." in answer.json["detail"]) == (429, True)


async def test_a_revoked_key_refunds_nothing_although_authentication_still_accepts_it(harness: Harness) -> None:
    """Each process keeps the valid keys in memory for some seconds."""
    payment = await harness.pay("o-1")
    assert (await harness.refund(payment, "1.00")).status == 201
    await harness.flows.pool.execute("UPDATE api_keys SET revoked_at = now()")
    answer = await harness.refund(payment, "1.00")
    assert (answer.status, "revoked" in answer.json["detail"]) == (403, True)


async def test_a_refused_refund_does_not_count(harness: Harness) -> None:
    """Either the limit or the payment refuses it."""
    payment = await harness.pay("o-1")
    await limit(harness, refunds_per_day=2, refund_amounts_per_day={"eur": 1_000})
    assert (await harness.refund(payment, "99.00")).status == 422
    assert (await harness.refund(payment, "11.00")).status == 429
    assert [(await harness.refund(payment, "5.00")).status for _ in range(3)] == [201, 201, 429]


async def test_concurrent_refunds_at_two_replicas_cannot_both_take_the_rest(
    database_dsn: str, sandbox: SandboxProcess
) -> None:
    """Of different payments, so the lock of a payment does not order them."""
    async with open_harness(database_dsn, sandbox) as one, open_harness(database_dsn, sandbox) as two:
        payments = [await one.pay(f"o-{number}") for number in range(8)]
        await limit(one, refunds_per_day=3, refund_amounts_per_day={"eur": 2_000})
        two.key = one.key
        answers = await asyncio.gather(
            *(
                (one, two)[number % 2].refund(payment, "6.00", f"job-{number}")
                for number, payment in enumerate(payments)
            )
        )
        assert Counter(answer.status for answer in answers) == {201: 3, 429: 5}
        assert await one.flows.pool.fetchval("SELECT count(*) FROM refunds") == 3
        assert await one.flows.pool.fetchval("SELECT amounts ->> 'eur' FROM api_key_refunds") == "1800"


@pytest.mark.parametrize("limits", [{}, {"requests_per_second": 100}])
async def test_a_key_without_refund_limits_counts_nothing(harness: Harness, limits: dict[str, int]) -> None:
    """So its refunds wait for no row."""
    payment = await harness.pay("o-1")
    await limit(harness, **limits)
    assert (await harness.refund(payment, "5.00")).status == 201
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM api_key_refunds") == 0
