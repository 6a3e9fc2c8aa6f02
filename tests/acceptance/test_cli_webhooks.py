"""`webhooks replay` as an operator runs it, with a real database and nothing else."""

from __future__ import annotations

import json
from typing import Final

import psycopg
import pytest

from payment_service.contracts.operators import ReplayedEvents
from payment_service.domain.ids import payment_id
from tests.support.command import assert_fails, done, key_shown, run

pytestmark = pytest.mark.timeout(300)

PAYMENT: Final = str(payment_id("default", "o-1", 1))
INTENT: Final = {
    "id": "pi_1",
    "object": "payment_intent",
    "status": "succeeded",
    "amount": 1990,
    "amount_received": 1990,
    "currency": "eur",
    "payment_method_types": ["card"],
    "metadata": {"deployment": "default", "order_id": "o-1", "payment_id": PAYMENT},
}
EVENT: Final = {
    "id": "evt_1",
    "object": "event",
    "type": "payment_intent.succeeded",
    "created": 1_790_000_000,
    "livemode": False,
    "data": {"object": INTENT},
}


@pytest.fixture
def env(database_dsn: str) -> dict[str, str]:
    """A parked event of a payment that exists by now."""
    with psycopg.connect(database_dsn) as connection:
        connection.execute(
            "INSERT INTO payments (id, order_id, provider, amount, currency, order_topic, order_partition, order_offset)"
            " VALUES (%s, 'o-1', 'stripe', 1990, 'eur', 'orders.created', 0, 0)",
            (PAYMENT,),
        )
        connection.execute(
            "INSERT INTO payment_events (event_type, provider, provider_event_id, payload, processed, result, parked_reason,"
            " verified_by, verified_at, occurred_at) VALUES ('payment_intent.succeeded', 'stripe', 'evt_1', %s, false,"
            " 'unmatched', 'unmatched', 'secret-1', now(), to_timestamp(1790000000))",
            (json.dumps(EVENT),),
        )
    return {"DB_DSN": database_dsn, "STRIPE_SECRET_KEY": "sk_test_suite"}


def test_parked_event_is_shown_by_a_dry_run_and_applied_once(env: dict[str, str]) -> None:
    arguments = ("webhooks", "replay", "--id", "evt_1", "--id", "evt_2", "--json")
    shown = done(run(*arguments, "--dry-run", env=env))
    assert shown == ReplayedEvents.model_validate(shown).model_dump(mode="json")
    first = run(*arguments, env=env)
    assert done(first) == {**shown, "dry_run": False}
    assert (shown["events"], shown["changes"], shown["unknown"]) == (1, 1, ["evt_2"])
    [event] = shown["changed"]
    assert (event["payment_id"], event["before"], event["result"]) == (PAYMENT, "unmatched", "applied")
    assert done(run(*arguments, "--key", key_shown(first), env=env)) == done(first)
    assert done(run(*arguments, env=env))["changes"] == 0
    with psycopg.connect(env["DB_DSN"]) as connection:
        assert connection.execute("SELECT status FROM payments").fetchall() == [("succeeded",)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "either --id, once or more, or --since"),
        (("--id", "evt_1", "--since", "1d"), "either --id, once or more, or --since"),
        (("--since", "yesterday"), "--since takes a past time"),
    ],
)
def test_impossible_selections_fail_with_one_line(
    env: dict[str, str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert_fails(run("webhooks", "replay", *arguments, env=env), 2, sentence)
    without = {name: value for name, value in env.items() if name != "STRIPE_SECRET_KEY"}
    assert_fails(run("webhooks", "replay", "--id", "evt_1", env=without), 2, "STRIPE_SECRET_KEY is not set")
