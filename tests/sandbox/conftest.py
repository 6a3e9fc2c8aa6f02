"""Fixtures: a sandbox process, a client of the official SDK, and a webhook receiver."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.sandbox import contract
from tests.support.eventually import eventually
from tests.support.sandbox import WEBHOOK_SECRET, SandboxProcess, notify_observers, response_observers


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook request, the status that the receiver returned, and the secret that the receiver uses."""

    payload: bytes
    signature: str
    status: int
    path: str
    secret: str

    @property
    def event(self) -> stripe.Event:
        """The event, parsed by the SDK after verification of the signature."""
        event: stripe.Event = stripe.Webhook.construct_event(self.payload, self.signature, self.secret)
        return event

    def verifies(self, secret: str) -> bool:
        """Return whether the SDK accepts the signature for `secret`."""
        try:
            stripe.Webhook.construct_event(self.payload, self.signature, secret)
        except stripe.SignatureVerificationError:
            return False
        return True


class Receiver:
    """A webhook endpoint that returns the next scripted status, or 200, and records every delivery."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.statuses: list[int] = []
        self.secret = WEBHOOK_SECRET
        self.response_body = b""
        receiver = self

        class Endpoint(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                payload = self.rfile.read(int(self.headers["Content-Length"]))
                notify_observers(payload)
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                self.send_response(status)
                self.send_header("Content-Length", str(len(receiver.response_body)))
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                signature = self.headers["Stripe-Signature"]
                receiver.deliveries.append(Delivery(payload, signature, status, self.path, receiver.secret))
                with contextlib.suppress(ConnectionError):  # the sender may stop reading early
                    self.wfile.write(receiver.response_body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Suppress the request log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/webhooks"

    @property
    def accepted(self) -> list[str]:
        """The types of the events that were answered with 200."""
        return [delivery.event.type for delivery in self.deliveries if delivery.status == 200]

    def wait_for(self, *types: str) -> None:
        """Wait until events of these types were accepted, each as often as it is listed."""
        eventually(lambda: not Counter(types) - Counter(self.accepted))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def shared_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A process shared by the tests of a module. Tests must not stop it."""
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox"))
    process.start()
    yield process
    process.stop()


@pytest.fixture
def sandbox(shared_process: SandboxProcess) -> Iterator[SandboxProcess]:
    """The module's process, with faults and accepted keys reset after each test."""
    yield shared_process
    shared_process.faults()
    shared_process.accept_keys()


@pytest.fixture
def client(sandbox: SandboxProcess) -> Any:
    """A client of the official SDK for the module's process."""
    return sandbox.client()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A process for one test, not yet started."""
    process = SandboxProcess(tmp_path)
    yield process
    process.clean_up()


@pytest.fixture(autouse=True)
def responses_match_stripes_description() -> Iterator[None]:
    """Check every response and webhook of the test against Stripe's OpenAPI description."""
    bodies: list[bytes] = []
    response_observers.append(bodies.append)
    yield
    response_observers.remove(bodies.append)
    # The description is of the current version.
    current = [body for body in bodies if b'"api_version":"2025-02-24.acacia"' not in body]
    assert contract.violations(current) == []
