"""Fault plans: seeds, outages, the faults file, and validation."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from stripe_sandbox.faults.outage import ActiveBrownOut, BrownOut, FaultPeriod
from stripe_sandbox.faults.plan_file import read_plan
from tests.sandbox.raw_socket import TIMEOUT_S, RawResponse, pay, send_request
from tests.sandbox.test_faults import CELLS
from tests.support.eventually import eventually
from tests.support.sandbox import COMMAND, SandboxProcess


def plan_error(sandbox: SandboxProcess, plan: Any) -> str:
    """Return the one-sentence error of the control API for an invalid plan."""
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port)
    try:
        connection.request("POST", "/sandbox/faults", plan if isinstance(plan, str) else json.dumps(plan))
        response = connection.getresponse()
        assert response.status == 400
        message: str = json.loads(response.read())["error"]["message"]
        assert "\n" not in message
        return message
    finally:
        connection.close()


def test_untested_combinations_of_phase_and_action_are_rejected(sandbox: SandboxProcess) -> None:
    tested = [(phase, action) for phase, action, *_ in CELLS]
    actions = [action for phase, action in tested if phase == "before"]
    assert len(actions) == 11
    for phase in ("before", "instead", "after", "body"):
        for action in actions:
            if (phase, action) not in tested:
                assert f"phase `{phase}`" in plan_error(sandbox, {"rules": [{"phase": phase, **action}]})


def test_same_seed_hits_the_same_requests_regardless_of_other_rules(sandbox: SandboxProcess) -> None:
    random_rule = {"action": "status", "code": 503, "probability": 0.5, "match": {"method": "GET"}}
    other = {"action": "status", "code": 501, "probability": 0.3, "match": {"method": "POST"}}

    def statuses(seed: int, *rules: dict[str, Any]) -> list[int | None]:
        sandbox.control("POST", "/sandbox/faults", {"seed": seed, "rules": rules})
        found = []
        for _ in range(30):
            found.append(send_request(sandbox.port, "/v1/balance").status)
            pay(sandbox.port, "noise")
        return found

    first = statuses(7, random_rule)
    assert set(first) == {200, 503}
    assert statuses(7, random_rule, other) == first
    assert statuses(8, random_rule) != first


def test_brown_out_slows_and_fails_a_share_of_requests(sandbox: SandboxProcess) -> None:
    plan = {"seed": 3, "brown_out": {"share": 0.5, "latency_ms": 1, "error_share": 0.3}}
    runs = []
    for _ in range(2):
        sandbox.control("POST", "/sandbox/faults", plan)
        runs.append([send_request(sandbox.port, "/v1/balance").status for _ in range(40)])
    shown = sandbox.control("GET", "/sandbox/faults")["brown_out"]

    assert runs[0] == runs[1]
    assert 0 < runs[0].count(503) == shown["failed"] < 40
    assert 0 < shown["slowed"] < 40


def test_outage_and_brown_out_end_after_their_duration() -> None:
    moment = [100.0]
    period = FaultPeriod(30, lambda: moment[0])
    assert (period.over, period.left_s) == (False, 30)
    moment[0] += 30
    assert (period.over, period.left_s) == (True, 0)

    brown_out = ActiveBrownOut(BrownOut(share=1, latency_ms=5, error_share=1, seconds=3600), seed=0)
    assert brown_out.draw() == (5.0, True)
    brown_out.period.clear()
    assert brown_out.draw() == (0.0, False)


@pytest.mark.parametrize(
    ("outage", "end", "status"),
    [({"kind": "drop"}, "closed", None), ({"kind": "hang"}, "timeout", None), ({"kind": "status"}, "complete", 503),
     ({"kind": "status", "code": 599, "seconds": 3600}, "complete", 599)],
)  # fmt: skip
def test_outage_affects_every_request_until_cleared(
    sandbox: SandboxProcess, outage: dict[str, Any], end: str, status: int | None
) -> None:
    """It also affects requests without a valid key, but not the control API."""
    sandbox.control("POST", "/sandbox/faults", {"outage": outage})

    response = send_request(sandbox.port, "/v1/nowhere", api_key="none", timeout_s=TIMEOUT_S)
    assert (response.end, response.status) == (end, status)

    sandbox.faults()
    assert send_request(sandbox.port, "/v1/balance").status == 200


def test_hanging_requests_are_closed_when_the_outage_is_cleared(sandbox: SandboxProcess) -> None:
    sandbox.control("POST", "/sandbox/faults", {"outage": {"kind": "hang"}})
    response: list[RawResponse] = []
    waiting = threading.Thread(target=lambda: response.append(send_request(sandbox.port, "/v1/balance")))
    waiting.start()
    eventually(lambda: sandbox.control("GET", "/sandbox/faults")["outage"]["requests"] == 1)

    sandbox.faults()
    waiting.join()

    assert response[0].end == "closed"


def test_refused_port_opens_again(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    own_sandbox.control("POST", "/sandbox/faults", {"outage": {"kind": "refuse", "seconds": 1.5}})

    def refused() -> bool:
        try:
            socket.create_connection(("127.0.0.1", own_sandbox.port)).close()
        except ConnectionRefusedError:
            return True
        return False

    eventually(refused, interval_s=0.001)
    eventually(lambda: not refused())
    assert send_request(own_sandbox.port, "/v1/balance").status == 200


def test_faults_file_applies_at_every_start(own_sandbox: SandboxProcess) -> None:
    plan = own_sandbox.folder / "faults.json"
    plan.write_text('{"rules": [{"action": "server_error", "match": {"operation": "balance.retrieve"}, "times": 1}]}')
    own_sandbox.options = ["--faults", str(plan)]
    for _ in range(2):
        own_sandbox.start()
        assert [send_request(own_sandbox.port, "/v1/balance").status for _ in range(2)] == [500, 200]
        own_sandbox.faults({"action": "conflict"})
        own_sandbox.kill()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"rules": [{"action": "explode"}]}', "rules[0].action: "),
        ('{"rules": [{"action": "drop", "match": {"operation": "intents.create"}}]}', "`intents.create`"),
        ("rules: []", "Invalid JSON"),
    ],
)
def test_invalid_faults_file_stops_the_start(own_sandbox: SandboxProcess, text: str, error: str) -> None:
    plan = own_sandbox.folder / "faults.json"
    plan.write_text(text)
    ended = subprocess.run([COMMAND, "--port", "0", "--faults", plan], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert error in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_documented_example_file_is_a_valid_plan() -> None:
    example = Path(__file__).parents[2] / "docs" / "faults.example.json"
    assert read_plan(example).rules


def test_shown_plan_hides_api_keys(sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "drop", "match": {"api_key": "sk_test_sandbox_suite"}})
    assert "sk_test_sandbox_suite" not in json.dumps(sandbox.control("GET", "/sandbox/faults"))


INVALID: list[tuple[Any, str]] = [
    ("", "Invalid JSON"),
    ([], "Input should be an object"),
    ({"rules": [{}]}, "rules[0].action: "),
    ({"rules": [{"action": "drop", "color": 1}]}, "rules[0].color: "),
    ({"rules": [{"action": "drop", "phase": "instead"}]}, "rules[0]: phase `instead` "),
    ({"rules": [{"action": "server_error", "phase": "body"}]}, "rules[0]: phase `body` "),
    ({"rules": [{"action": "server_error", "sticky": True}]}, "rules[0]: phase `before` "),
    ({"rules": [{"action": "drop", "code": 500}]}, "rules[0]: `code` "),
    ({"rules": [{"action": "conflict", "retry_after_s": 1}]}, "rules[0]: `retry_after_s` "),
    ({"rules": [{"action": "drop", "probability": 1.1}]}, "rules[0].probability"),
    ({"rules": [{"action": "drop", "match": {"operation": "charge.list"}}]}, "`charge.list`"),
    ({"latency": {"payments": {"median_ms": 1}}}, "`payments`"),
    ({"latency": {"reads": {"median_ms": 5, "p99_ms": 9, "sigma": 1}}}, "latency.reads: "),
    ({"rules": [{"action": "server_error", "headers": {"X": "1\r\nY: 2"}}]}, "rules[0].headers: `X` "),
    ({"rate_limits": "visa"}, "rate_limits"),
    ({"outage": {"kind": "refuse"}}, "outage: "),
]


@pytest.mark.parametrize(("plan", "error"), INVALID, ids=[error for _, error in INVALID])
def test_invalid_plan_is_rejected(sandbox: SandboxProcess, plan: Any, error: str) -> None:
    assert error in plan_error(sandbox, plan)
