"""`approvals`: a person decides a refund above a limit at the command line, once, also after a kill."""

from __future__ import annotations

import signal
from uuid import UUID

import psycopg
import pytest

from payment_service.contracts.operators import ApprovalRequests
from payment_service.domain.ids import payment_id
from tests.support.command import done, run

PAYMENT = payment_id("default", "o-1", 1)
INSERT = """
INSERT INTO payments (id, order_id, provider, provider_payment_id, amount, currency, captured, status, order_topic, order_partition,
                      order_offset) VALUES (%s, 'o-1', 'stripe', 'pi_1', 1990, 'eur', 1990, 'succeeded', 'orders.created', 0, 0)
"""
REQUEST = """
INSERT INTO approvals (payment_id, amount, currency, reason, requested_by, parameters, expires_at)
VALUES (%s, 1500, 'eur', 'returned', 'ada', '{"amount": "15.00", "reason": "returned"}', now() + interval '1 h') RETURNING id
"""


@pytest.fixture
def service_settings(database_dsn: str) -> dict[str, str]:
    """Return an environment in which the service would start."""
    secrets = {"STRIPE_SECRET_KEY": "sk_test_suite", "STRIPE_WEBHOOK_SECRET": "whsec_suite"}
    return {"DB_DSN": database_dsn, "KAFKA_BROKERS": "127.0.0.1:9", **secrets}


@pytest.fixture
def approval(service_settings: dict[str, str]) -> UUID:
    """Insert a paid payment and a refund of it that ada requested."""
    with psycopg.connect(service_settings["DB_DSN"], autocommit=True) as connection:
        connection.execute(INSERT, [PAYMENT])
        row = connection.execute(REQUEST, [PAYMENT]).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def refunds(settings: dict[str, str]) -> list[tuple[int, str]]:
    with psycopg.connect(settings["DB_DSN"]) as connection:
        return connection.execute(
            "SELECT r.amount, a.decided_by FROM refunds r FULL JOIN approvals a USING (payment_id)"
        ).fetchall()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_approval_killed_at_its_commit_makes_one_refund_when_repeated(
    service_settings: dict[str, str], approval: UUID, moment: str
) -> None:
    line = ("approvals", "approve", str(approval), "--as", "bob", "--yes")
    killed = run(*line, env={**service_settings, "CRASH_AT": f"change.refund.commit.{moment}"})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert refunds(service_settings) == ([(None, None)] if moment == "before" else [(1500, "bob")])
    again = run(*line, env=service_settings)
    assert again.returncode == 0, again.stderr
    assert refunds(service_settings) == [(1500, "bob")]


def test_a_request_is_listed_and_decided_by_another_person(service_settings: dict[str, str], approval: UUID) -> None:
    listed = done(run("approvals", "list", "--json", env=service_settings))
    assert listed == ApprovalRequests.model_validate(listed).model_dump(mode="json")
    assert [(one["order_id"], one["amount"], one["requested_by"]) for one in listed["data"]] == [
        ("o-1", "15.00", "ada")
    ]
    assert "15.00" in run("approvals", "list", env=service_settings).stdout
    own = run("approvals", "approve", str(approval), "--as", "Ada", "--yes", env=service_settings)
    assert (own.returncode, "a second person must approve it" in own.stderr) == (1, True)
    assert run("approvals", "decline", str(approval), "--as", "bob", env=service_settings).returncode == 0
    late = run("approvals", "approve", str(approval), "--as", "eve", "--yes", env=service_settings)
    assert (late.returncode, "bob has declined this request already" in late.stderr) == (1, True)
    assert "No refund waits" in run("approvals", "list", env=service_settings).stderr
    unknown = run("approvals", "decline", str(PAYMENT), "--as", "bob", env=service_settings)
    assert (unknown.returncode, "see `approvals list`" in unknown.stderr) == (4, True)
