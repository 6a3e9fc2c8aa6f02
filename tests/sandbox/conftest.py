"""A sandbox process, the official SDK pointed at it, and somebody who receives its webhooks."""

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
from tests.support.sandbox import WEBHOOK_SECRET, SandboxProcess, listeners, tell_listeners


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that the receiver got, and the status it gave; `secret` is the one it knows."""

    payload: bytes
    signature: str
    answer: int
    path: str
    secret: str

    @property
    def event(self) -> stripe.Event:
        """What the SDK makes of it, its signature verified."""
        event: stripe.Event = stripe.Webhook.construct_event(self.payload, self.signature, self.secret)
        return event

    def verifies(self, secret: str) -> bool:
        """Whether the SDK takes it from whoever knows only `secret`."""
        try:
            stripe.Webhook.construct_event(self.payload, self.signature, secret)
        except stripe.SignatureVerificationError:
            return False
        return True


class Receiver:
    """A webhook endpoint that answers with the next scripted status, or 200, and remembers everything."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.script: list[int] = []
        self.secret = WEBHOOK_SECRET
        self.answer_body = b""
        receiver = self

        class Endpoint(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                payload = self.rfile.read(int(self.headers["Content-Length"]))
                tell_listeners(payload)
                answer = receiver.script.pop(0) if receiver.script else 200
                self.send_response(answer)
                self.send_header("Content-Length", str(len(receiver.answer_body)))
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                signature = self.headers["Stripe-Signature"]
                receiver.deliveries.append(Delivery(payload, signature, answer, self.path, receiver.secret))
                with contextlib.suppress(ConnectionError):  # the sender may have read enough
                    self.wfile.write(receiver.answer_body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/webhooks"

    @property
    def accepted(self) -> list[str]:
        """The types of the events answered 2xx."""
        return [delivery.event.type for delivery in self.deliveries if delivery.answer == 200]

    def wait_for(self, *types: str) -> None:
        """Until events of these types were accepted, each as often as it is named."""
        eventually(lambda: not Counter(types) - Counter(self.accepted))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def shared_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """One process for the tests of a module that don't harm it."""
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox"))
    process.start()
    yield process
    process.stop()


@pytest.fixture
def sandbox(shared_process: SandboxProcess) -> Iterator[SandboxProcess]:
    """The process of this module, without faults or chosen keys before and after."""
    yield shared_process
    shared_process.faults()
    shared_process.accept_keys()


@pytest.fixture
def client(sandbox: SandboxProcess) -> Any:
    """The official SDK, pointed at the process of this module."""
    return sandbox.client()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A process for this test alone, not yet started."""
    process = SandboxProcess(tmp_path)
    yield process
    process.clean_up()


@pytest.fixture(autouse=True)
def answers_as_stripe_describes_them() -> Iterator[None]:
    """Whatever the test is about: each answer and each webhook that it saw has the shape that Stripe describes."""
    heard: list[bytes] = []
    listeners.append(heard.append)
    yield
    listeners.remove(heard.append)
    assert contract.broken_by(heard) == []
