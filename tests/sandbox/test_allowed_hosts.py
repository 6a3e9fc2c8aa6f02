"""A foreign `Host` is refused: a web page that rebinds its own name to this machine cannot control the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.http_requests import INTENTS, create, send_request
from tests.support.sandbox import SandboxProcess

FOREIGN = [
    "evil.example",
    "evil.example:12111",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "sandbox:12111",
    "",
    "[::1",
]
OWN = ["localhost:12111", "LOCALHOST", "localhost.", "shop.localhost:80", "127.0.0.1:12111", "192.0.2.7", "[::1]:12111"]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox that two names lead to."""
    process = SandboxProcess(tmp_path_factory.mktemp("named"))
    process.options = ["--allowed-host", "sandbox", "--allowed-host", "Stripe.Internal"]
    process.start()
    yield process
    process.clean_up()


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize(("method", "path"), [("POST", "/sandbox/clock"), ("GET", "/sandbox/ledger"), ("GET", "/")])
def test_foreign_host_reaches_neither_pages_nor_control_api(
    shared_process: SandboxProcess, method: str, path: str, host: str
) -> None:
    response = send_request(shared_process, method, path, '{"advance_s": 5}' if method == "POST" else None, Host=host)

    assert response.status == 403
    assert "--allowed-host" in response.error["message"]


def test_sdk_that_uses_another_name_is_told_which_option_helps(shared_process: SandboxProcess) -> None:
    response = create(shared_process, Host="sandbox:12111")

    assert response.status == 403
    assert response.error["type"] == "invalid_request_error"
    assert "--allowed-host sandbox " in response.error["message"]


@pytest.mark.parametrize("host", OWN)
def test_this_machine_and_addresses_are_always_accepted(shared_process: SandboxProcess, host: str) -> None:
    """Only names can be rebound to another address, so an address is harmless."""
    assert create(shared_process, Host=host).status == 200


@pytest.mark.parametrize("host", ["sandbox", "SANDBOX:12111", "stripe.internal"])
def test_name_given_by_the_option_is_accepted(named: SandboxProcess, host: str) -> None:
    assert create(named, Host=host).status == 200
    assert send_request(named, "GET", INTENTS, Host="evil.example").status == 403


def test_name_that_the_sandbox_listens_on_is_accepted(tmp_path: Path) -> None:
    process = SandboxProcess(tmp_path)
    process.options = ["--host", "localhost"]
    process.start()
    try:
        assert create(process, Host="localhost").status == 200
    finally:
        process.clean_up()


def test_compose_names_the_sandbox_as_the_service_calls_it() -> None:
    root = Path(__file__).parents[2]
    assert "http://sandbox:12111" in (root / "compose.dev.yaml").read_text()
    assert "- --allowed-host=sandbox\n" in (root / "compose.yaml").read_text()
