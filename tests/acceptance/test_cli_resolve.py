"""`parked resolve` as an operator runs it, on a real database and a real sandbox: it reads there before it changes anything."""

from __future__ import annotations

import asyncio
import signal
from typing import Any
from uuid import UUID

import pytest

from tests.support.command import Result, assert_fails, done, run
from tests.support.desk import Desk, effects, shown, unfindable
from tests.support.till import Till

pytestmark = pytest.mark.timeout(300)


async def lost(till: Till) -> tuple[UUID, UUID, str]:
    """A payment with a refund of 5.00 that nobody found, and the one that was made instead of it."""
    payment = await till.pay("o-1")
    name = await unfindable(till, Desk(till), payment)
    client: Any = till.sandbox.client()
    intent = (await shown(till, payment))["provider_payment_id"]
    return payment, name, client.v1.refunds.create({"payment_intent": intent, "amount": 500}).id


async def resolve(till: Till, name: UUID, *said: str, **env: str) -> Result:
    """Run it with the settings of the service; those that are empty are not set."""
    of_service = {
        "DB_DSN": till.dsn,
        "STRIPE_SECRET_KEY": till.flows.config.stripe_secret_key.get_secret_value(),
        "STRIPE_API_BASE": till.sandbox.base_url,
    }
    chosen = {key: value for key, value in {**of_service, **env}.items() if value}
    words = ("parked", "resolve", str(name), *said, "--note", "case 17", "--yes", "--key", "case-17")
    return await asyncio.to_thread(run, *words, env=chosen)


async def noted(till: Till) -> int:
    found: int = await till.flows.pool.fetchval("SELECT count(*) FROM audit WHERE action = 'parked.resolve'")
    return found


async def test_what_is_wrong_or_can_not_be_read_changes_nothing_and_is_said_in_one_line(till: Till) -> None:
    _, name, made = await lost(till)
    typo = await resolve(till, name, "--happened", "re_TYPO", "--json")
    assert_fails(typo, 1, "has no refund re_TYPO of this payment, so nothing was changed")
    nowhere = await resolve(till, name, "--happened", made, "--json", STRIPE_API_BASE="http://127.0.0.1:9")
    assert_fails(nowhere, 5, "stripe can't be read now")
    unset = await resolve(till, name, "--happened", made, "--json", STRIPE_SECRET_KEY="")
    assert_fails(unset, 2, "STRIPE_SECRET_KEY is not set")
    assert_fails(await resolve(till, name, "--never", "--json", STRIPE_SECRET_KEY=""), 2, "STRIPE_SECRET_KEY")
    assert await noted(till) == 0
    assert await Desk(till).parked("refund") == name


@pytest.mark.parametrize(
    "point",
    [
        "look_up.call.before",
        "look_up.call.after",
        "change.parked.resolve.commit.before",
        "change.parked.resolve.commit.after",
    ],
)
async def test_a_resolution_that_was_killed_is_made_once_by_running_it_again(till: Till, point: str) -> None:
    payment, name, made = await lost(till)
    killed = await resolve(till, name, "--happened", made, CRASH_AT=point)
    assert killed.returncode == -signal.SIGKILL
    assert f"crash point reached: {point}" in killed.stderr
    assert done(await resolve(till, name, "--happened", made, "--json"))["done"] == "happened"
    await till.settle()
    assert (await shown(till, payment))["amount_refunded"] == "5.00"
    assert (await noted(till), effects(till.sandbox, "refund.created")) == (1, 1)
