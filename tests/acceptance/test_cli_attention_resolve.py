"""`attention resolve` as an operator runs it: it reads at the provider before it changes anything."""

from __future__ import annotations

import asyncio
import signal
from typing import Any
from uuid import UUID

import pytest

from tests.support.command import Result, assert_fails, done, run
from tests.support.harness import Harness
from tests.support.operator import Operator, effects, shown, unfindable

pytestmark = pytest.mark.timeout(300)


async def payment_with_lost_refund(harness: Harness) -> tuple[UUID, UUID, str]:
    """Return a payment, the id of its refund of 5.00 that two reads did not find, and a refund made at the provider."""
    payment = await harness.pay("o-1")
    name = await unfindable(harness, Operator(harness), payment)
    client: Any = harness.sandbox.client()
    intent = (await shown(harness, payment))["provider_payment_id"]
    return payment, name, client.v1.refunds.create({"payment_intent": intent, "amount": 500}).id


async def resolve(harness: Harness, name: UUID, *claim: str, **env: str) -> Result:
    """Run the command with the settings of the service; empty settings are not set."""
    of_service = {
        "DB_DSN": harness.dsn,
        "STRIPE_SECRET_KEY": harness.flows.config.stripe_secret_key.get_secret_value(),
        "STRIPE_API_BASE": harness.sandbox.base_url,
    }
    chosen = {key: value for key, value in {**of_service, **env}.items() if value}
    words = ("attention", "resolve", str(name), *claim, "--note", "case 17", "--yes", "--key", "case-17")
    return await asyncio.to_thread(run, *words, env=chosen)


async def resolutions(harness: Harness) -> int:
    found: int = await harness.flows.pool.fetchval("SELECT count(*) FROM audit WHERE action = 'attention.resolve'")
    return found


async def test_a_wrong_or_unverifiable_claim_changes_nothing(harness: Harness) -> None:
    _, name, made = await payment_with_lost_refund(harness)
    typo = await resolve(harness, name, "--happened", "re_TYPO", "--json")
    assert_fails(typo, 1, "has no refund re_TYPO of this payment, so nothing was changed")
    nowhere = await resolve(harness, name, "--happened", made, "--json", STRIPE_API_BASE="http://127.0.0.1:9")
    assert_fails(nowhere, 5, "stripe cannot be read now")
    unset = await resolve(harness, name, "--happened", made, "--json", STRIPE_SECRET_KEY="")
    assert_fails(unset, 2, "STRIPE_SECRET_KEY is not set")
    assert_fails(await resolve(harness, name, "--never", "--json", STRIPE_SECRET_KEY=""), 2, "STRIPE_SECRET_KEY")
    assert await resolutions(harness) == 0
    assert await Operator(harness).parked("refund") == name


@pytest.mark.parametrize(
    "point",
    [
        "look_up.call.before",
        "look_up.call.after",
        "change.attention.resolve.commit.before",
        "change.attention.resolve.commit.after",
    ],
)
async def test_a_killed_resolution_takes_effect_once_when_repeated(harness: Harness, point: str) -> None:
    payment, name, made = await payment_with_lost_refund(harness)
    killed = await resolve(harness, name, "--happened", made, CRASH_AT=point)
    assert killed.returncode == -signal.SIGKILL
    assert f"crash point reached: {point}" in killed.stderr
    assert done(await resolve(harness, name, "--happened", made, "--json"))["done"] == "happened"
    await harness.run_until_idle()
    assert (await shown(harness, payment))["amount_refunded"] == "5.00"
    assert (await resolutions(harness), effects(harness.sandbox, "refund.created")) == (1, 1)
