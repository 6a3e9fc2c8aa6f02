"""A real Prometheus that scrapes processes of the service with the shipped rules."""

from __future__ import annotations

import http.client
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from payment_service_demo.embedded.process import ChildProcess, free_port
from tests.support.eventually import eventually
from tests.support.monitoring import ALERTS
from tests.support.shop import ask

# The usual 15 s, so that a measured time is one that a user sees.
INTERVAL: Final = "15s"
READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 10.0
POLL_INTERVAL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Prometheus:
    """The API of a running server."""

    url: str

    def firing(self) -> dict[str, str]:
        """Return the summaries of the alerts that fire, by name; the last one of several instances."""
        status, text = ask(f"{self.url}/api/v1/alerts")
        assert status == http.client.OK, text
        alerts: list[dict[str, Any]] = json.loads(text)["data"]["alerts"]
        return {
            alert["labels"]["alertname"]: alert["annotations"]["summary"]
            for alert in alerts
            if alert["state"] == "firing"
        }

    def wait_firing(self, alert: str, timeout_s: float) -> str:
        """Wait until an alert fires, and return its summary."""
        return eventually(lambda: self.firing().get(alert), timeout_s=timeout_s, interval_s=POLL_INTERVAL_S) or ""

    def wait_resolved(self, alert: str, timeout_s: float) -> None:
        """Wait until an alert no longer fires."""
        eventually(lambda: alert not in self.firing(), timeout_s=timeout_s, interval_s=POLL_INTERVAL_S)

    def scraped(self) -> bool:
        """Return whether a sample of the service is stored."""
        _, text = ask(f"{self.url}/api/v1/query?query=payments_event_loop_lag_seconds")
        return bool(json.loads(text)["data"]["result"])


@contextmanager
def prometheus(targets: Sequence[str], folder: Path) -> Iterator[Prometheus]:
    """Start a server that scrapes these `host:port` pairs."""
    port = free_port()
    configuration = {
        "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [{"job_name": "payment-service", "static_configs": [{"targets": list(targets)}]}],
    }
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(configuration))
    child = ChildProcess(
        [
            shutil.which("prometheus") or "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
        log=folder / "prometheus.log",
        env={"PATH": os.environ["PATH"]},
    )
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        child.wait_until(lambda: _answers(server), timeout_s=READY_TIMEOUT_S, name="prometheus")
        yield server
    finally:
        child.stop(STOP_TIMEOUT_S)


def _answers(server: Prometheus) -> bool:
    try:
        return ask(f"{server.url}/-/ready")[0] == http.client.OK
    except OSError:
        return False
