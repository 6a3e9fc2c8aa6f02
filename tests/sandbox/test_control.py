"""What the control API and the command line refuse, and what they say then: one sentence that names the cure."""

from __future__ import annotations

import json
import socket
import subprocess
from typing import Any

import pytest

from tests.sandbox.plain import Heard, ask
from tests.support.sandbox import COMMAND, SandboxProcess

WEBHOOK = {"url": "https://shop.example/hook", "secret": "whsec_shop"}


def control(sandbox: SandboxProcess, path: str, body: Any) -> Heard:
    text = body if isinstance(body, str) else json.dumps(body)
    return ask(sandbox, "POST", path, text, Content_Type="application/json")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("clock", {"advance_s": -1}, "advance_s: "),
        ("clock", {"advance": 1}, "advance_s: required field is missing"),
        ("clock", "", "The body must be JSON"),
        ("clock", "{", "The body must be JSON"),
        ("clock", "[" * 100_000, "The body must be JSON"),
        ("clock", '{"advance_s": Infinity}', "The clock cannot pass the year 2100"),
        ("clock", {"advance_s": 1e308}, "The clock cannot pass the year 2100"),
        ("faults", "[" * 100_000, "Invalid JSON"),
        ("payment_intents/pi_1/settle", {"outcome": "maybe"}, "outcome: "),
        ("keys", {"accepted": [], "colour": "red"}, "colour: unknown field"),
        ("webhook", {**WEBHOOK, "url": "localhost:8082"}, "Invalid URL: An explicit scheme"),
        ("webhook", {**WEBHOOK, "enabled_events": ["charge.*"]}, "Invalid enabled_events[0]"),
    ],
)
def test_a_bad_call_is_told_in_one_sentence_what_is_wrong(
    sandbox: SandboxProcess, path: str, body: Any, said: str
) -> None:
    heard = control(sandbox, f"/sandbox/{path}", body)

    assert heard.status == 400
    assert heard.error["message"].startswith(said)
    assert "\n" not in heard.error["message"]
    assert "pydantic" not in heard.error["message"]


@pytest.mark.parametrize("after", ["abc", "1.5", "-5"])
def test_a_position_in_the_ledger_that_is_none_is_refused(sandbox: SandboxProcess, after: str) -> None:
    heard = ask(sandbox, "GET", f"/sandbox/ledger?after={after}")
    assert (heard.status, heard.error["message"][:7]) == (400, "after: ")


def started(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *options], capture_output=True, text=True, timeout=20, check=False)


def test_a_port_that_is_taken_is_named_with_the_option_that_helps() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = started("--port", str(port))

    assert ended.returncode == 1
    assert ended.stderr == (
        f"stripe-sandbox: port {port} on 127.0.0.1 is in use. Choose another with --port, or 0 for a free one.\n"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--port", "70000"), "less than or equal to 65535"),
        (("--port", "0", "--state", "/"), "/ is a directory: give the path of a file."),
        (("--port", "0", "--faults", "/nowhere"), "/nowhere: No such file or directory. Choose another file."),
    ],
)
def test_an_option_that_can_not_be_meant_is_refused_at_the_start(options: tuple[str, ...], said: str) -> None:
    ended = started(*options)

    assert ended.returncode in {1, 2}
    assert said in " ".join(ended.stderr.split())


def test_a_webhook_without_a_scheme_is_refused_at_the_start() -> None:
    ended = started("--port", "0", "--webhook", "localhost:8082/hook", "--webhook-secret", "whsec_shop")

    assert ended.returncode == 1
    assert "An explicit scheme" in ended.stderr
