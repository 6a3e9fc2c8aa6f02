"""A `stripe-sandbox` process on a free port, with a client for its control API."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import stripe

from payment_service_demo.embedded.process import ChildProcess, free_port, tail
from tests.support.prefork import ForkedChild

COMMAND: Final = Path(sys.executable).with_name("stripe-sandbox")
READY_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 5.0  # the sandbox stops within 2 s; the rest allows for a loaded machine
REQUEST_TIMEOUT_S: Final = 20.0
WEBHOOK_SECRET: Final = "whsec_suite"
API_KEY: Final = "sk_test_sandbox_suite"


response_observers: list[Callable[[bytes], None]] = []
"""Callbacks that get the body of every API response and webhook that a test receives."""


def notify_observers(body: bytes) -> None:
    for observer in response_observers:
        observer(body)


class _Connection(stripe.RequestsClient):
    def request(self, *args: Any, **kwargs: Any) -> Any:
        response = super().request(*args, **kwargs)
        notify_observers(response[0])
        return response


class SandboxProcess:
    """A `stripe-sandbox` process that keeps its port and state across restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        keys: Sequence[str] = (),
        in_memory: bool = False,
        ready_timeout_s: float = READY_TIMEOUT_S,
    ) -> None:
        self.ready_timeout_s = ready_timeout_s
        self.folder = folder
        self.state = None if in_memory else folder / "sandbox.state"
        self.log = folder / "sandbox.log"
        self.keys = keys
        self.options: list[str] = []  # further command-line options
        self.port = 0
        self._webhook: tuple[str, str] | None = None
        self._child: ChildProcess | None = None
        self._connections: list[stripe.RequestsClient] = []

    def start(self, webhook_url: str | None = None, secret: str = WEBHOOK_SECRET) -> str:
        """Start, wait until the sandbox responds, and return its base URL. Later starts keep the webhook endpoint."""
        assert not self.running, "the sandbox is already running"
        if webhook_url is not None:
            self._webhook = (webhook_url, secret)
        self._child = ForkedChild(COMMAND.name, self._arguments(), log=self.log, env={})
        self._child.wait_until(self.serves, timeout_s=self.ready_timeout_s, name="stripe-sandbox")
        return self.base_url

    @property
    def base_url(self) -> str:
        """The API base for SDKs."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """True until the process ends."""
        return self._child is not None and self._child.running

    def client(self, key: str = API_KEY) -> stripe.StripeClient:
        """Return the official SDK's client for this sandbox, without retries. Its connections close with the process."""
        self._connections.append(_Connection())
        return stripe.StripeClient(
            key, base_addresses={"api": self.base_url}, max_network_retries=0, http_client=self._connections[-1]
        )

    def serves(self) -> bool:
        """Return whether the sandbox responds to one request."""
        try:
            self.control("GET", "/sandbox/clock")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def kill(self) -> None:
        """Kill the process with SIGKILL, without a clean shutdown."""
        assert self._child is not None, "the sandbox was not started"
        self._child.kill()
        self._disconnect()

    def pause(self) -> None:
        """Suspend the process: it accepts connections and answers nothing."""
        assert self._child is not None, "the sandbox was not started"
        os.kill(self._child.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a suspended process."""
        assert self._child is not None, "the sandbox was not started"
        os.kill(self._child.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop the process with SIGTERM and assert that it exits with code 0."""
        if self._child is None:
            return
        self._disconnect()
        code = self._child.stop(grace_s=STOP_TIMEOUT_S)
        assert code == 0, f"the sandbox exited with code {code}:\n{tail(self.log)}"

    def clean_up(self) -> None:
        """Kill the process if it is still running."""
        self._disconnect()
        if self._child is not None:
            self._child.kill()

    def ledger(self, after: int = 0) -> list[dict[str, Any]]:
        """Return the ledger's entries in order; see docs/sandbox.md."""
        entries: list[dict[str, Any]] = self.control("GET", f"/sandbox/ledger?after={after}")["data"]
        return entries

    def captured(self, order_id: str) -> list[dict[str, Any]]:
        """Return the captures for an order. More than one is a double charge."""
        return [
            entry
            for entry in self.ledger()
            if entry["effect"] == "charge.captured" and entry["metadata"].get("order_id") == order_id
        ]

    def faults(self, *rules: Mapping[str, Any], webhooks: Mapping[str, Any] | None = None) -> None:
        """Replace all fault rules. Without arguments, clear them."""
        self.control("POST", "/sandbox/faults", {"rules": list(rules), "webhooks": webhooks or {}})

    def faults_struck(self) -> list[int]:
        """Return how often each rule was injected."""
        return [rule["injected"] for rule in self.control("GET", "/sandbox/faults")["rules"]]

    def accept_keys(self, *keys: str) -> None:
        """Accept only these API keys. Without arguments, accept every test key."""
        self.control("POST", "/sandbox/keys", {"accepted": list(keys)})

    def advance(self, seconds: float) -> None:
        """Advance the sandbox's clock."""
        self.control("POST", "/sandbox/clock", {"advance_s": seconds})

    def set_webhook(self, url: str, secret: str = WEBHOOK_SECRET, *, events: Sequence[str] = ("*",)) -> None:
        """Send events of these types to `url`, including undelivered ones."""
        self._webhook = (url, secret)
        self.control("POST", "/sandbox/webhook", {"url": url, "secret": secret, "enabled_events": list(events)})

    def authenticate(self, intent_id: str, outcome: str = "succeed") -> None:
        """Complete the 3-D Secure step with the outcome `succeed` or `fail`."""
        self.control("POST", f"/sandbox/payment_intents/{intent_id}/authenticate", {"outcome": outcome})

    def settle(self, intent_id: str, outcome: str = "succeed") -> None:
        """Complete a processing bank debit with the outcome `succeed` or `fail`."""
        self.control("POST", f"/sandbox/payment_intents/{intent_id}/settle", {"outcome": outcome})

    def settle_refund(self, refund_id: str, outcome: str = "succeed", **more: str) -> dict[str, Any]:
        """Set a refund's outcome to `succeed`, `fail` or `require_action`, and return the refund."""
        return self.control("POST", f"/sandbox/refunds/{refund_id}/settle", {"outcome": outcome, **more})

    def resend(self, event_id: str) -> None:
        """Deliver an event again."""
        self.control("POST", f"/sandbox/events/{event_id}/resend", {})

    def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the control API and assert that it returns 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_TIMEOUT_S)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content: dict[str, Any] = json.loads(response.read())
            assert response.status == http.HTTPStatus.OK, content
            return content
        finally:
            connection.close()

    def _disconnect(self) -> None:
        for connection in self._connections:
            connection.close()  # type: ignore[no-untyped-call]
        self._connections.clear()

    def _arguments(self) -> list[str]:
        self.port = self.port or free_port()
        arguments = ["--port", str(self.port)]
        if self.state is not None:
            arguments += ["--state", str(self.state)]
        if self._webhook is not None:
            arguments += ["--webhook", self._webhook[0], "--webhook-secret", self._webhook[1]]
        for key in self.keys:
            arguments += ["--key", key]
        return [*arguments, *self.options]
