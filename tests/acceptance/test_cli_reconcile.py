"""`reconcile` as an operator runs it."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import pytest

from tests.support.command import Result, assert_fails, run
from tests.support.harness import Harness

pytestmark = pytest.mark.timeout(180)


async def reconcile(harness: Harness, *options: str, **env: str) -> Result:
    """Run the command with the settings of the service; empty settings are not set."""
    of_service = {
        "DB_DSN": harness.dsn,
        "STRIPE_SECRET_KEY": harness.flows.config.stripe_secret_key.get_secret_value(),
        "STRIPE_API_BASE": harness.sandbox.base_url,
    }
    chosen = {key: value for key, value in {**of_service, **env}.items() if value}
    return await asyncio.to_thread(run, "reconcile", *options, env=chosen)


async def paid_without_webhook(harness: Harness) -> str:
    """Let a customer pay, and deliver no event."""
    await harness.flows.accept("o-1")
    await harness.flows.run_calls()
    intent = str((await harness.flows.payment("o-1"))["provider_payment_id"])
    client: Any = harness.sandbox.client()
    client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    return intent


async def test_differences_are_printed_with_what_to_do_until_none_is_open(harness: Harness) -> None:
    intent = await paid_without_webhook(harness)
    dry = await reconcile(harness, "--since", "1h", "--dry-run")
    assert (dry.returncode, "would be repaired" in dry.stdout) == (6, True)
    audited = "SELECT client, detail FROM audit WHERE action = 'reconcile'"
    assert await harness.flows.pool.fetch(audited) == []
    repaired = await reconcile(harness, "--since", "1h", "--json")
    report = json.loads(repaired.stdout)
    assert repaired.returncode == 0
    assert [(one["code"], one["subject"], one["repaired"]) for one in report["differences"]] == [
        ("status_differs", intent, True)
    ]
    assert (report["found"], report["repaired"], report["has_more"]) == (1, 1, False)
    (row,) = await harness.flows.pool.fetch(audited)
    assert row["client"].startswith("cli")
    assert json.loads(row["detail"])["since"] < json.loads(row["detail"])["until"]
    await harness.flows.pool.execute("UPDATE payments SET amount = 3000")
    left = await reconcile(harness, "--since", "1h")
    assert left.returncode == 6
    assert "amount_differs" in left.stdout
    assert "Compare both amounts" in left.stdout
    await harness.flows.pool.execute("UPDATE payments SET amount = 1990")
    assert (await reconcile(harness, "--since", "1h")).returncode == 0


@pytest.mark.parametrize("point", ["reconcile.commit.before", "reconcile.commit.after"])
async def test_a_killed_run_is_resumed_by_the_next_command(harness: Harness, point: str) -> None:
    await paid_without_webhook(harness)
    killed = await reconcile(harness, "--since", "1h", CRASH_AT=point)
    assert killed.returncode == -signal.SIGKILL
    assert_fails(await reconcile(harness, "--since", "1h", "--json"), 5, "Another process runs a reconciliation")
    await harness.flows.pool.execute("UPDATE reconciliations SET lease_until = now() - interval '1 s'")
    assert (await reconcile(harness, "--since", "1h")).returncode == 0
    assert (await harness.flows.payment("o-1"))["status"] == "succeeded"
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM reconciliations WHERE state = 'finished'") == 2


async def test_wrong_options_and_missing_settings_change_nothing(harness: Harness) -> None:
    assert_fails(await reconcile(harness, "--since", "soon", "--json"), 2, "--since takes a past time")
    assert_fails(await reconcile(harness, "--since", "1h", "--until", "2h", "--json"), 2, "--until takes a time after")
    assert_fails(await reconcile(harness, "--since", "1h", "--json", STRIPE_SECRET_KEY=""), 2, "STRIPE_SECRET_KEY")
    assert await harness.flows.pool.fetchval("SELECT count(*) FROM reconciliations") == 0
