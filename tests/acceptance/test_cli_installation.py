"""`installation` as an operator runs it: show the claim of the deployment name, and move it on purpose (I18)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from payment_service.contracts.operators import InstallationState
from tests.support.command import assert_fails, done, run
from tests.support.databases import DatabaseServer
from tests.support.sandbox import SandboxProcess

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def env(service_dsn: str, sandbox: SandboxProcess) -> dict[str, str]:
    return {"DB_DSN": service_dsn, "STRIPE_SECRET_KEY": "sk_test_sandbox_suite", "STRIPE_API_BASE": sandbox.base_url}


@pytest.fixture
def other_env(database: DatabaseServer, migrated_template: str, env: dict[str, str]) -> Iterator[dict[str, str]]:
    with database.database(migrated_template) as dsn:
        yield {**env, "DB_DSN": database.for_service(dsn)}


def holder(sandbox: SandboxProcess) -> str:
    client: Any = sandbox.client()
    return str(client.v1.products.retrieve("payment-service-default").metadata["installation"])


@pytest.mark.invariant("I18")
def test_name_is_moved_to_another_database_once_per_key_and_audited(
    env: dict[str, str], other_env: dict[str, str], sandbox: SandboxProcess
) -> None:
    first = done(run("installation", "move", "--yes", "--json", env=env))
    assert first == InstallationState.model_validate(first).model_dump(mode="json")
    assert (first["deployment"], first["mode"], holder(sandbox)) == ("default", "test", first["id"])
    second = done(run("installation", "move", "--yes", "--json", "--key", "ticket-17", env=other_env))
    assert holder(sandbox) == second["id"] != first["id"]
    assert done(run("installation", "move", "--yes", "--json", "--key", "ticket-17", env=other_env)) == second
    assert done(run("installation", "show", "--json", env={"DB_DSN": other_env["DB_DSN"]})) == second
    with psycopg.connect(other_env["DB_DSN"]) as connection:
        audited = connection.execute("SELECT action, detail ->> 'deployment' FROM audit").fetchall()
    assert audited == [("installation.move", "default")]


def test_database_before_its_first_start_has_no_installation(env: dict[str, str]) -> None:
    assert_fails(run("installation", "show", env={"DB_DSN": env["DB_DSN"]}), 4, "serve")


def test_move_without_an_answer_of_stripe_changes_nothing(env: dict[str, str]) -> None:
    assert_fails(
        run("installation", "move", "--yes", env={**env, "STRIPE_API_BASE": "http://127.0.0.1:9"}),
        5,
        "Run the same command again",
    )
    with psycopg.connect(env["DB_DSN"]) as connection:
        assert connection.execute("SELECT claimed_at FROM installation").fetchall() == [(None,)]


def test_move_needs_the_key_of_the_account(env: dict[str, str]) -> None:
    assert_fails(run("installation", "move", "--yes", env={"DB_DSN": env["DB_DSN"]}), 2, "STRIPE_SECRET_KEY")
