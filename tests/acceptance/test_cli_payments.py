"""`refund`, `capture` and `cancel` as an operator runs them: with DB_DSN alone, on a real database and a real sandbox."""

from __future__ import annotations

import asyncio
import signal
from uuid import UUID

import pytest

from payment_service.contracts.api import Payment, Refund
from tests.support.command import Result, assert_fails, done, key_shown, run, run_on_terminal
from tests.support.harness import Harness
from tests.support.sandbox import SandboxProcess

# Each command is a process of its own, which takes seconds on a busy machine.
pytestmark = pytest.mark.timeout(300)

REFUSED = {
    "action": "status",
    "code": 400,
    "body": '{"error": {"code": "charge_not_refundable", "type": "invalid_request_error"}}',
    "times": 1,
}


async def command(harness: Harness, *arguments: str, **env: str) -> Result:
    return await asyncio.to_thread(run, *arguments, env={"DB_DSN": harness.dsn, **env})


async def audit(harness: Harness) -> list[tuple[str, UUID]]:
    rows = await harness.flows.pool.fetch("SELECT client, action, payment_id FROM audit ORDER BY id")
    assert all(row["client"].startswith("cli:") for row in rows)
    return [(row["action"], row["payment_id"]) for row in rows]


def refunded(sandbox: SandboxProcess) -> int:
    """Return the refunded amount by the provider's own ledger."""
    return sum(entry["amount"] for entry in sandbox.ledger() if entry["effect"] == "refund.created")


@pytest.mark.invariant("I7")
async def test_a_repeated_refund_command_refunds_once(harness: Harness) -> None:
    """The amount may be written differently, and the stored response may have been deleted."""
    payment = await harness.pay("o-1")
    first = await command(harness, "refund", "o-1", "5", "--yes", "--json")
    again = await command(harness, "refund", str(payment), "5.00", "--yes", "--json")
    await harness.flows.pool.execute("DELETE FROM idempotency_keys")
    later = await command(harness, "refund", "o-1", "5.0", "--yes", "--json")
    with_key = await command(harness, "refund", "o-1", "5", "--yes", "--json", "--key", key_shown(first))
    ids = {done(result)["id"] for result in (first, again, later, with_key)}
    assert len(ids) == 1
    assert "nothing was done now" in again.stderr
    assert f"show {payment}" in first.stderr
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == 500
    now = done(await command(harness, "refund", "o-1", "5", "--yes", "--json"))
    assert now == Refund.model_validate(now).model_dump(mode="json")
    assert now["status"] == "succeeded"
    assert (await audit(harness))[0] == ("refund", payment)


async def test_a_second_refund_of_the_same_amount_needs_a_new_key(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    done(await command(harness, "refund", "o-1", "5.00", "--yes", "--json"))
    another = await command(harness, "refund", "o-1", "5.00", "--yes", "--json", "--reason", "duplicate")
    assert_fails(another, 1, "use --key with a new key")
    done(await command(harness, "refund", "o-1", "5.00", "--yes", "--json", "--key", "ticket-17-2"))
    done(await command(harness, "refund", "o-1", "--yes", "--json", "--metadata", "case=17"))
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == 1990
    assert [action for action, _ in await audit(harness)] == ["refund"] * 3
    refused = await command(harness, "refund", str(payment), "1.00", "--yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.splitlines()[-1].startswith("payment-service: Nothing is left to refund")


async def test_concurrent_refund_commands_refund_once(harness: Harness) -> None:
    await harness.pay("o-1")
    results = await asyncio.gather(*(command(harness, "refund", "o-1", "5.00", "--yes", "--json") for _ in range(5)))
    assert {result.returncode for result in results} <= {0, 5}
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == 500


async def test_a_failed_refund_is_reported_and_repeated_only_under_a_new_key(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    harness.sandbox.faults({"match": {"method": "POST", "path": "/v1/refunds"}, "phase": "before", **REFUSED})
    done(await command(harness, "refund", "o-1", "5.00", "--yes", "--json"))
    await harness.run_until_idle()
    again = await command(harness, "refund", "o-1", "5.00", "--yes")
    assert again.returncode == 1
    assert "refund failed" in again.stderr
    another = await command(harness, "refund", "o-1", "5.00", "--yes", "--json", "--key", "again")
    assert done(another)["status"] == "pending"
    assert "Earlier: 5.00 eur, failed" in another.stderr
    await harness.run_until_idle()
    assert (await harness.get(f"/v1/payments/{payment}")).json["amount_refunded"] == "5.00"


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_refund_killed_at_its_commit_completes_when_repeated(harness: Harness, moment: str) -> None:
    await harness.pay("o-1")
    point = f"change.refund.commit.{moment}"
    killed = await command(harness, "refund", "o-1", "5.00", "--yes", CRASH_AT=point)
    assert killed.returncode == -signal.SIGKILL
    assert f"crash point reached: {point}" in killed.stderr
    done(await command(harness, "refund", "o-1", "5.00", "--yes", "--json"))
    await harness.run_until_idle()
    assert refunded(harness.sandbox) == 500
    assert [action for action, _ in await audit(harness)] == ["refund"]


async def test_moving_money_needs_a_confirmation_or_the_option_yes(harness: Harness) -> None:
    await harness.pay("o-1")
    env = {"DB_DSN": harness.dsn}
    for line in (("refund", "o-1"), ("capture", "o-1"), ("cancel", "o-1")):
        assert_fails(await command(harness, *line), 2, "use --yes")
    no = await asyncio.to_thread(run_on_terminal, "refund", "o-1", answer="n\n", env=env)
    assert (no.returncode, no.stdout) == (1, "")
    assert "Refund the remaining amount of order o-1" in no.stderr
    assert "19.90 of 19.90 eur captured" in no.stderr
    assert await audit(harness) == []
    yes = await asyncio.to_thread(run_on_terminal, "refund", "o-1", answer="y\n", env=env)
    assert yes.returncode == 0
    assert "19.90" in yes.stdout
    again = await asyncio.to_thread(run_on_terminal, "refund", "o-1", answer="", env=env)
    assert "Refund" not in again.stderr
    assert [action for action, _ in await audit(harness)] == ["refund"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("refund", "o-9"), 4, "No payment and no order"),
        (("refund", "o-1", "0"), 1, "more than 0"),
        (("refund", "o-1", "5.001"), 1, "AMOUNT: Use a plain decimal"),
        (("refund", "o-1", "1e3"), 1, "AMOUNT"),
        (("refund", "o-1", "\u0665"), 1, "AMOUNT"),
        (("refund", "o-1", "20.00"), 1, "at most 19.90 eur"),
        (("refund", "o-1", "--reason", "a\nb"), 2, "--reason takes"),
        (("refund", "o-1", "--metadata", "a"), 2, "--metadata takes"),
        (("refund", "o-1", "--metadata", "a=1", "--metadata", "a=2"), 2, "--metadata takes"),
        (("refund", "o-1", "--metadata", "ä=1"), 2, "--metadata takes"),
        (("refund", "o-1", "--key", ""), 0, ""),
        (("refund", "o-1", "--key", "a b"), 2, "--key takes"),
        (("capture", "o-1"), 1, "already captured"),
        (("cancel", "o-1"), 1, "refund it instead"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_impossible_requests_fail_with_one_line(
    harness: Harness, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    await harness.pay("o-1")
    result = await command(harness, *arguments, "--yes")
    if code:
        assert_fails(result, code, sentence)
        assert await audit(harness) == []
    else:
        assert result.returncode == 0, result.stderr


async def test_a_database_of_another_deployment_is_refused(harness: Harness) -> None:
    """Another deployment name gives other ids, so a repeated request would count as a new one."""
    await harness.pay("o-1")
    assert_fails(
        await command(harness, "refund", "o-1", "--yes", DEPLOYMENT="staging"), 2, "belongs to another deployment"
    )


async def test_a_locked_payment_fails_soon_with_advice_to_retry(harness: Harness) -> None:
    payment = await harness.pay("o-1")
    async with harness.flows.pool.acquire() as connection, connection.transaction():
        await connection.fetchrow("SELECT FROM payments WHERE id = $1 FOR NO KEY UPDATE", payment)
        holding = asyncio.create_task(command(harness, "refund", "o-1", "--yes"))
        while not holding.done():
            await connection.fetchval("SELECT 1")
            await asyncio.wait([holding], timeout=0.2)
    assert_fails(holding.result(), 5, "run the same command again")


async def authorize(harness: Harness, order_id: str) -> UUID:
    """Let a customer pay an order with manual capture."""
    await harness.flows.accept(order_id, capture_method="manual")
    return await harness.pay(order_id)


async def test_an_authorized_payment_is_captured_in_part_once(harness: Harness) -> None:
    await authorize(harness, "o-1")
    first = await command(harness, "capture", "o-1", "15.00", "--yes", "--json")
    assert done(first)["status"] == "authorized"
    await harness.run_until_idle()
    again = await command(harness, "capture", "o-1", "15", "--yes", "--json")
    assert done(again)["status"] == "succeeded"
    shown = done(await command(harness, "show", "o-1", "--json"))["data"][0]["payment"]
    assert shown == Payment.model_validate(shown).model_dump(mode="json")
    assert (shown["status"], shown["amount_captured"]) == ("succeeded", "15.00")
    assert [action for action, _ in await audit(harness)] == ["capture"]


async def test_an_authorized_payment_is_released_by_a_cancellation(harness: Harness) -> None:
    await authorize(harness, "o-1")
    asked = await command(harness, "cancel", "o-1", "--reason", "requested_by_customer", "--yes", "--json")
    assert done(asked)["status"] == "authorized"
    await harness.run_until_idle()
    again = await command(harness, "cancel", "o-1", "--reason", "requested_by_customer", "--yes", "--json")
    assert done(again)["status"] == "canceled"
    assert [action for action, _ in await audit(harness)] == ["cancel"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("change", "effect"), [("capture", "charge.captured"), ("cancel", "intent.canceled")])
async def test_a_killed_capture_or_cancel_takes_effect_once_when_repeated(
    harness: Harness, change: str, effect: str, moment: str
) -> None:
    payment = await authorize(harness, "o-1")
    point = f"change.{change}.commit.{moment}"
    killed = await command(harness, change, "o-1", "--yes", CRASH_AT=point)
    assert killed.returncode == -signal.SIGKILL
    assert f"crash point reached: {point}" in killed.stderr
    done(await command(harness, change, "o-1", "--yes", "--json"))
    await harness.run_until_idle()
    effects = [entry["effect"] for entry in harness.sandbox.ledger()]
    assert (effects.count(effect), "charge.captured" in effects) == (1, change == "capture")
    shown = (await harness.get(f"/v1/payments/{payment}")).json
    assert shown["status"] == ("succeeded" if change == "capture" else "canceled")
    assert [action for action, _ in await audit(harness)] == [change]
