"""Test `audit verify` and `audit export` beside a running service that seals and publishes."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from payment_service.contracts.operators import AuditVerification
from payment_service.domain.audit_chain import BEFORE_THE_FIRST, hash_after, hash_text
from tests.support.command import assert_fails, done, run
from tests.support.eventually import eventually
from tests.support.service import StartService


@pytest.fixture
def env(database_dsn: str, service_dsn: str, start_service: StartService) -> dict[str, str]:
    """Return the environment of commands beside a service that has sealed two entries, with the path of its log."""
    service = start_service("dispatch,http")
    for scope in ("read", "refund"):
        created = run("keys", "create", "--client", "shop", "--scope", scope, env={"DB_DSN": database_dsn})
        assert created.returncode == 0
    eventually(lambda: any(line["position"] == 2 for line in service.logs("audit_head")))
    return {"DB_DSN": service_dsn, "LOG": str(service.log)}


def test_verify_compares_the_audit_with_the_heads_in_the_log(env: dict[str, str], database_dsn: str) -> None:
    result = run("audit", "verify", "--heads", env["LOG"], env=env)
    assert (result.returncode, "No entry was changed" in result.stderr) == (0, True)
    alone = run("audit", "verify", "--json", env=env)
    assert done(alone) == AuditVerification.model_validate(done(alone)).model_dump(mode="json")
    assert done(alone)["position"] == 2
    with psycopg.connect(database_dsn, autocommit=True) as owner:
        owner.execute("DELETE FROM audit WHERE id = 2")
        owner.execute("DELETE FROM audit_chain WHERE audit_id = 2")
    assert run("audit", "verify", env=env).returncode == 0
    found = run("audit", "verify", "--heads", env["LOG"], env=env)
    assert found.returncode == 6
    assert "a head of position 2 was published, but the chain ends at 1" in found.stdout


def test_heads_are_read_behind_the_prefix_of_a_log_driver(env: dict[str, str], tmp_path: Path) -> None:
    prefixed = tmp_path / "compose.log"
    prefixed.write_text("".join(f"payment-service-1  | {line}\n" for line in Path(env["LOG"]).read_text().splitlines()))
    assert run("audit", "verify", "--heads", str(prefixed), env=env).returncode == 0


def test_logs_without_a_head_are_refused(env: dict[str, str], tmp_path: Path) -> None:
    """They would prove nothing."""
    other = tmp_path / "other.log"
    other.write_text('{"event": "started"}\n')
    assert_fails(run("audit", "verify", "--heads", str(other), env=env), 2, "no line audit_head")
    # Another program of the same log may name it, in a request for example.
    other.write_text('{"event": "started"}\nGET /audit_head HTTP/1.1\n')
    assert_fails(run("audit", "verify", "--heads", str(other), env=env), 2, "no line audit_head")
    other.write_text('{"event": "audit_head", "position"\n')
    assert_fails(run("audit", "verify", "--heads", str(other), env=env), 2, "not readable")
    assert_fails(run("audit", "verify", "--heads", str(tmp_path / "none"), env=env), 1, "No such file")


def test_an_export_can_be_verified_without_the_service(env: dict[str, str]) -> None:
    lines = [json.loads(line) for line in run("audit", "export", env=env).stdout.splitlines()]
    assert [line["position"] for line in lines] == [1, 2]
    assert [line["entry"]["action"] for line in lines] == ["keys.create", "keys.create"]
    previous = BEFORE_THE_FIRST
    for line in lines:
        previous = hash_after(previous, line["entry"])
        assert line["hash"] == hash_text(previous)
