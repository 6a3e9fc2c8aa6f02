"""Invalid control API calls and command-line options get a one-sentence error that says what to change."""

from __future__ import annotations

import json
import socket
import subprocess
from typing import Any

import pytest

from tests.sandbox.http_requests import Response, send_request
from tests.support.sandbox import COMMAND, SandboxProcess

WEBHOOK = {"url": "https://shop.example/hook", "secret": "whsec_shop"}


def control(sandbox: SandboxProcess, path: str, body: Any) -> Response:
    text = body if isinstance(body, str) else json.dumps(body)
    return send_request(sandbox, "POST", path, text, Content_Type="application/json")


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("clock", {"advance_s": -1}, "advance_s: "),
        ("clock", {"advance": 1}, "advance_s: "),
        ("clock", "", "The body must be JSON"),
        ("clock", "{", "The body must be JSON"),
        ("clock", "[" * 100_000, "The body must be JSON"),
        ("clock", '{"advance_s": Infinity}', "The clock "),
        ("clock", {"advance_s": 1e308}, "The clock "),
        ("faults", "[" * 100_000, "Invalid JSON"),
        ("payment_intents/pi_1/settle", {"outcome": "maybe"}, "outcome: "),
        ("keys", {"accepted": [], "color": "red"}, "color: "),
        ("webhook", {**WEBHOOK, "url": "localhost:8082"}, "Invalid URL: An explicit scheme"),
        ("webhook", {**WEBHOOK, "enabled_events": ["charge.*"]}, "Invalid enabled_events[0]"),
    ],
)
def test_invalid_call_gets_a_one_sentence_error(sandbox: SandboxProcess, path: str, body: Any, message: str) -> None:
    response = control(sandbox, f"/sandbox/{path}", body)

    assert response.status == 400
    assert response.error["message"].startswith(message)
    assert "\n" not in response.error["message"]
    assert "pydantic" not in response.error["message"]


@pytest.mark.parametrize("after", ["abc", "1.5", "-5"])
def test_invalid_ledger_position_is_rejected(sandbox: SandboxProcess, after: str) -> None:
    response = send_request(sandbox, "GET", f"/sandbox/ledger?after={after}")
    assert (response.status, response.error["message"][:7]) == (400, "after: ")


def started(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *options], capture_output=True, text=True, timeout=20, check=False)


def test_occupied_port_is_reported_with_the_option_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = started("--port", str(port))

    assert ended.returncode == 1
    [error] = ended.stderr.splitlines()
    assert str(port) in error
    assert "--port" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--port", "70000"), "less than or equal to 65535"),
        (("--port", "0", "--state", "/"), "/ is a"),
        (("--port", "0", "--faults", "/nowhere"), "/nowhere: No such file or directory"),
    ],
)
def test_invalid_option_stops_the_start(options: tuple[str, ...], message: str) -> None:
    ended = started(*options)

    assert ended.returncode in {1, 2}
    assert message in " ".join(ended.stderr.split())


def test_webhook_url_without_a_scheme_stops_the_start() -> None:
    ended = started("--port", "0", "--webhook", "localhost:8082/hook", "--webhook-secret", "whsec_shop")

    assert ended.returncode == 1
    assert "An explicit scheme" in ended.stderr
