"""Fault plans: chance by a seed, outages, the file that a start reads, and what is refused."""

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
from tests.sandbox.raw import PATIENCE_S, Heard, ask, pay
from tests.sandbox.test_faults import CELLS
from tests.support.eventually import eventually
from tests.support.sandbox import COMMAND, SandboxProcess


def refusal(sandbox: SandboxProcess, plan: Any) -> str:
    """Why the control API refuses a plan: one sentence."""
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


def test_every_moment_and_fault_that_is_not_tested_is_refused(sandbox: SandboxProcess) -> None:
    tested = [(phase, action) for phase, action, *_ in CELLS]
    actions = [action for phase, action in tested if phase == "before"]
    assert len(actions) == 11
    for phase in ("before", "instead", "after", "body"):
        for action in actions:
            if (phase, action) not in tested:
                assert f"phase `{phase}`" in refusal(sandbox, {"rules": [{"phase": phase, **action}]})


def test_the_same_seed_strikes_the_same_requests_whatever_other_rules_do(sandbox: SandboxProcess) -> None:
    chancy = {"action": "status", "code": 503, "probability": 0.5, "match": {"method": "GET"}}
    other = {"action": "status", "code": 501, "probability": 0.3, "match": {"method": "POST"}}

    def statuses(seed: int, *rules: dict[str, Any]) -> list[int | None]:
        sandbox.control("POST", "/sandbox/faults", {"seed": seed, "rules": rules})
        found = []
        for _ in range(30):
            found.append(ask(sandbox.port, "/v1/balance").status)
            pay(sandbox.port, "noise")
        return found

    first = statuses(7, chancy)
    assert set(first) == {200, 503}
    assert statuses(7, chancy, other) == first
    assert statuses(8, chancy) != first


def test_a_brown_out_slows_and_fails_a_share_of_the_requests(sandbox: SandboxProcess) -> None:
    plan = {"seed": 3, "brown_out": {"share": 0.5, "latency_ms": 1, "error_share": 0.3}}
    runs = []
    for _ in range(2):
        sandbox.control("POST", "/sandbox/faults", plan)
        runs.append([ask(sandbox.port, "/v1/balance").status for _ in range(40)])
    shown = sandbox.control("GET", "/sandbox/faults")["brown_out"]

    assert runs[0] == runs[1]
    assert 0 < runs[0].count(503) == shown["failed"] < 40
    assert 0 < shown["slowed"] < 40


def test_an_outage_and_a_brown_out_end_by_themselves() -> None:
    moment = [100.0]
    spell = FaultPeriod(30, lambda: moment[0])
    assert (spell.over, spell.left_s) == (False, 30)
    moment[0] += 30
    assert (spell.over, spell.left_s) == (True, 0)

    limp = ActiveBrownOut(BrownOut(share=1, latency_ms=5, error_share=1, seconds=3600), seed=0)
    assert limp.draw() == (5.0, True)
    limp.period.clear()
    assert limp.draw() == (0.0, False)


@pytest.mark.parametrize(
    ("outage", "end", "status"),
    [({"kind": "drop"}, "closed", None), ({"kind": "hang"}, "silence", None), ({"kind": "status"}, "whole", 503),
     ({"kind": "status", "code": 599, "seconds": 3600}, "whole", 599)],
)  # fmt: skip
def test_an_outage_hits_every_request_and_ends_when_it_is_cleared(
    sandbox: SandboxProcess, outage: dict[str, Any], end: str, status: int | None
) -> None:
    """Those without a good key too; the control API goes on."""
    sandbox.control("POST", "/sandbox/faults", {"outage": outage})

    heard = ask(sandbox.port, "/v1/nowhere", api_key="none", patience_s=PATIENCE_S)
    assert (heard.end, heard.status) == (end, status)

    sandbox.faults()
    assert ask(sandbox.port, "/v1/balance").status == 200


def test_an_outage_that_hangs_lets_go_when_it_is_cleared(sandbox: SandboxProcess) -> None:
    sandbox.control("POST", "/sandbox/faults", {"outage": {"kind": "hang"}})
    heard: list[Heard] = []
    waiting = threading.Thread(target=lambda: heard.append(ask(sandbox.port, "/v1/balance")))
    waiting.start()
    eventually(lambda: sandbox.control("GET", "/sandbox/faults")["outage"]["requests"] == 1)

    sandbox.faults()
    waiting.join()

    assert heard[0].end == "closed"


def test_a_port_that_refuses_opens_again(own_sandbox: SandboxProcess) -> None:
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
    assert ask(own_sandbox.port, "/v1/balance").status == 200


def test_the_faults_of_a_file_hold_from_the_start_and_after_a_restart(own_sandbox: SandboxProcess) -> None:
    plan = own_sandbox.folder / "faults.json"
    plan.write_text('{"rules": [{"action": "server_error", "match": {"operation": "balance.retrieve"}, "times": 1}]}')
    own_sandbox.options = ["--faults", str(plan)]
    for _ in range(2):
        own_sandbox.start()
        assert [ask(own_sandbox.port, "/v1/balance").status for _ in range(2)] == [500, 200]
        own_sandbox.faults({"action": "conflict"})
        own_sandbox.kill()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"rules": [{"action": "explode"}]}', "rules[0].action: Input should be 'drop', 'reset'"),
        ('{"rules": [{"action": "drop", "match": {"operation": "intents.create"}}]}', "no operation `intents.create`"),
        ("rules: []", "Invalid JSON"),
    ],
)
def test_a_file_that_makes_no_sense_ends_the_start_with_a_sentence(
    own_sandbox: SandboxProcess, text: str, complaint: str
) -> None:
    plan = own_sandbox.folder / "faults.json"
    plan.write_text(text)
    ended = subprocess.run([COMMAND, "--port", "0", "--faults", plan], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert complaint in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_example_of_the_docs_is_a_plan() -> None:
    example = Path(__file__).parents[2] / "docs" / "faults.example.json"
    assert read_plan(example).rules


def test_the_plan_shown_hides_keys(sandbox: SandboxProcess) -> None:
    sandbox.faults({"action": "drop", "match": {"api_key": "sk_test_sandbox_suite"}})
    assert "sk_test_sandbox_suite" not in json.dumps(sandbox.control("GET", "/sandbox/faults"))


NONSENSE: list[tuple[Any, str]] = [
    ("", "Invalid JSON"),
    ([], "Input should be an object"),
    ({"rules": [{}]}, "rules[0].action: required field is missing"),
    ({"rules": [{"action": "drop", "colour": 1}]}, "rules[0].colour: unknown field"),
    ({"rules": [{"action": "drop", "phase": "instead"}]}, "rules[0]: phase `instead` needs a response"),
    ({"rules": [{"action": "server_error", "phase": "body"}]}, "rules[0]: phase `body` begins after"),
    ({"rules": [{"action": "server_error", "sticky": True}]}, "rules[0]: phase `before` stores no response"),
    ({"rules": [{"action": "drop", "code": 500}]}, "rules[0]: `code` does not apply to action `drop`"),
    ({"rules": [{"action": "conflict", "retry_after_s": 1}]}, "`retry_after_s` does not apply to action `conflict`"),
    ({"rules": [{"action": "drop", "probability": 1.1}]}, "rules[0].probability"),
    ({"rules": [{"action": "drop", "match": {"operation": "charge.list"}}]}, "there is no operation `charge.list`"),
    ({"latency": {"payments": {"median_ms": 1}}}, "there is no operation `payments`"),
    ({"latency": {"reads": {"median_ms": 5, "p99_ms": 9, "sigma": 1}}}, "latency.reads: give p99_ms or sigma"),
    (
        {"rules": [{"action": "server_error", "headers": {"X": "1\r\nY: 2"}}]},
        "rules[0].headers: `X` is not a valid header",
    ),
    ({"rate_limits": "visa"}, "rate_limits"),
    ({"outage": {"kind": "refuse"}}, "outage: outage `refuse` needs `seconds`"),
]


@pytest.mark.parametrize(("plan", "complaint"), NONSENSE, ids=[complaint for _, complaint in NONSENSE])
def test_a_plan_that_makes_no_sense_is_refused(sandbox: SandboxProcess, plan: Any, complaint: str) -> None:
    assert complaint in refusal(sandbox, plan)
