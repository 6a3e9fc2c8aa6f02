"""The Stripe sandbox as a process of its own, started on a free port, driven by its control API."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import stripe

from payment_service_demo.embedded.process import ChildProcess, free_port, tail

COMMAND: Final = Path(sys.executable).with_name("stripe-sandbox")
READY_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 5.0  # it promises to stop within 2 s; the rest is for a loaded machine
REQUEST_TIMEOUT_S: Final = 20.0
WEBHOOK_SECRET: Final = "whsec_suite"
API_KEY: Final = "sk_test_sandbox_suite"


listeners: list[Callable[[bytes], None]] = []
"""Told of every answer of the API that tests get by the SDK or byte by byte."""


def tell_listeners(body: bytes) -> None:
    for listener in listeners:
        listener(body)


class _Connection(stripe.RequestsClient):
    def request(self, *args: Any, **kwargs: Any) -> Any:
        answer = super().request(*args, **kwargs)
        tell_listeners(answer[0])
        return answer


class SandboxProcess:
    """One `stripe-sandbox` process; started again, it has the same port and the same state."""

    def __init__(self, folder: Path, *, keys: Sequence[str] = (), in_memory: bool = False) -> None:
        self.folder = folder
        self.state = None if in_memory else folder / "sandbox.state"
        self.log = folder / "sandbox.log"
        self.keys = keys
        self.options: list[str] = []  # further ones of the command line
        self.port = 0
        self._webhook: tuple[str, str] | None = None
        self._child: ChildProcess | None = None
        self._connections: list[stripe.RequestsClient] = []

    def start(self, webhook_url: str | None = None, secret: str = WEBHOOK_SECRET) -> str:
        """Start and wait until it serves; returns the base URL. A webhook once given is kept on later starts."""
        assert not self.running, "the sandbox is running already"
        if webhook_url is not None:
            self._webhook = (webhook_url, secret)
        self._child = ChildProcess(self._command(), log=self.log, env={"PYTHONUNBUFFERED": "1"})
        self._child.wait_until(self.serves, timeout_s=READY_TIMEOUT_S, name="stripe-sandbox")
        return self.base_url

    @property
    def base_url(self) -> str:
        """What an SDK takes as its API base."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._child is not None and self._child.running

    def client(self, key: str = API_KEY) -> stripe.StripeClient:
        """The official SDK, pointed here, without retries of its own; its connections end with this process."""
        self._connections.append(_Connection())
        return stripe.StripeClient(
            key, base_addresses={"api": self.base_url}, max_network_retries=0, http_client=self._connections[-1]
        )

    def serves(self) -> bool:
        """Ask once whether it answers."""
        try:
            self.control("GET", "/sandbox/clock")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def kill(self) -> None:
        """End it with SIGKILL: it gets no chance to finish anything."""
        assert self._child is not None, "the sandbox was not started"
        self._child.kill()
        self._disconnect()

    def stop(self) -> None:
        """End it with SIGTERM and assert that it ended well."""
        if self._child is None:
            return
        self._disconnect()
        code = self._child.stop(grace_s=STOP_TIMEOUT_S)
        assert code == 0, f"the sandbox ended with {code}:\n{tail(self.log)}"

    def clean_up(self) -> None:
        """End it in any case."""
        self._disconnect()
        if self._child is not None:
            self._child.kill()

    def ledger(self, after: int = 0) -> list[dict[str, Any]]:
        """What happened to money, in order; see docs/sandbox.md."""
        entries: list[dict[str, Any]] = self.control("GET", f"/sandbox/ledger?after={after}")["data"]
        return entries

    def captured(self, order_id: str) -> list[dict[str, Any]]:
        """The captures for an order: more than one is a double charge."""
        return [
            entry
            for entry in self.ledger()
            if entry["effect"] == "charge.captured" and entry["metadata"].get("order_id") == order_id
        ]

    def faults(self, *rules: Mapping[str, Any], webhooks: Mapping[str, Any] | None = None) -> None:
        """Set fault rules in place of all former ones; without arguments, none."""
        self.control("POST", "/sandbox/faults", {"rules": list(rules), "webhooks": webhooks or {}})

    def faults_struck(self) -> list[int]:
        """How often each rule has struck."""
        return [rule["injected"] for rule in self.control("GET", "/sandbox/faults")["rules"]]

    def accept_keys(self, *keys: str) -> None:
        """Accept these API keys only; without arguments, every test key."""
        self.control("POST", "/sandbox/keys", {"accepted": list(keys)})

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock on."""
        self.control("POST", "/sandbox/clock", {"advance_s": seconds})

    def set_webhook(self, url: str, secret: str = WEBHOOK_SECRET, *, events: Sequence[str] = ("*",)) -> None:
        """Send events (of these types) to `url` from now on, those still undelivered included."""
        self._webhook = (url, secret)
        self.control("POST", "/sandbox/webhook", {"url": url, "secret": secret, "enabled_events": list(events)})

    def authenticate(self, intent_id: str, outcome: str = "succeed") -> None:
        """Pass (or `fail`) the 3-D Secure step in the customer's place."""
        self.control("POST", f"/sandbox/payment_intents/{intent_id}/authenticate", {"outcome": outcome})

    def settle(self, intent_id: str, outcome: str = "succeed") -> None:
        """Let the bank pay (or `fail`) the debit of an intent that is processing."""
        self.control("POST", f"/sandbox/payment_intents/{intent_id}/settle", {"outcome": outcome})

    def settle_refund(self, refund_id: str, outcome: str = "succeed", **more: str) -> dict[str, Any]:
        """Let the customer's bank take a refund, `fail` it, or `require_action`; returns the refund."""
        return self.control("POST", f"/sandbox/refunds/{refund_id}/settle", {"outcome": outcome, **more})

    def resend(self, event_id: str) -> None:
        """Deliver an event once more."""
        self.control("POST", f"/sandbox/events/{event_id}/resend", {})

    def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call the control API; fails unless it answers 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_TIMEOUT_S)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
            assert response.status == http.HTTPStatus.OK, answer
            return answer
        finally:
            connection.close()

    def _disconnect(self) -> None:
        for connection in self._connections:
            connection.close()  # type: ignore[no-untyped-call]
        self._connections.clear()

    def _command(self) -> list[str | Path]:
        self.port = self.port or free_port()
        command: list[str | Path] = [COMMAND, "--port", str(self.port)]
        if self.state is not None:
            command += ["--state", self.state]
        if self._webhook is not None:
            command += ["--webhook", self._webhook[0], "--webhook-secret", self._webhook[1]]
        for key in self.keys:
            command += ["--key", key]
        return [*command, *self.options]
