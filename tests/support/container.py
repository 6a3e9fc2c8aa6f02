"""Containers of the image, started with as little as it promises to need. `make image-test` alone runs tests with them."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from payment_service_demo.embedded.process import free_port
from tests.support.eventually import eventually
from tests.support.http import is_ready

ENGINE: Final = os.environ.get("IMAGE_ENGINE", "podman")
IMAGE: Final = "payment-service:latest"
# A root that can't be written to, no capabilities and no way to gain any. Health is asked for by the tests themselves.
CONFINED: Final = (
    *("--network", "host", "--no-healthcheck"),
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)
COMMAND_TIMEOUT_S: Final = 60
READY_TIMEOUT_S: Final = 30.0
STOP_GRACE_S: Final = 30


def engine(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Docker or Podman, whatever comes of it."""
    return subprocess.run(
        [ENGINE, *arguments], capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S + STOP_GRACE_S
    )


def run(
    *arguments: str, env: Mapping[str, str] | None = None, entrypoint: str = "", options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command of `payment-service` (or another entry point) in a container that is gone afterwards."""
    entry = ["--entrypoint", entrypoint] if entrypoint else []
    return engine("run", "--rm", *CONFINED, *entry, *options, *_variables(env or {}), IMAGE, *arguments)


def image_config() -> dict[str, Any]:
    """What the image says about itself: user, labels, health check, …"""
    config: dict[str, Any] = _inspect("image", IMAGE, "{{json .Config}}")
    if "Healthcheck" not in config:  # Podman has it beside the rest
        config["Healthcheck"] = _inspect("image", IMAGE, "{{json .HealthCheck}}")
    return config


class Container:
    """One container that serves, on ports of this machine."""

    def __init__(self, env: Mapping[str, str], *options: str) -> None:
        self.name = f"payment-service-test-{uuid.uuid4().hex[:12]}"
        self.metrics_port = free_port()
        variables = {"SERVICE_HOST": "127.0.0.1", **env, "METRICS_PORT": str(self.metrics_port)}
        started = engine("run", "--detach", "--name", self.name, *CONFINED, *options, *_variables(variables), IMAGE)
        assert started.returncode == 0, started.stderr
        try:
            eventually(self.ready, timeout_s=READY_TIMEOUT_S)
        except BaseException as error:
            error.add_note(self.logs())
            self.remove()
            raise

    def ready(self) -> bool:
        """Ask `/ready` once."""
        return is_ready(self.metrics_port)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return engine("exec", self.name, *command)

    def stop(self) -> int:
        """Send SIGTERM, wait until it has ended, and give its exit code (137 when it had to be killed)."""
        stopped = engine("stop", "--time", str(STOP_GRACE_S), self.name)
        assert stopped.returncode == 0, stopped.stderr
        return int(_inspect("container", self.name, "{{json .State.ExitCode}}"))

    def logs(self) -> str:
        """What it has written so far."""
        result = engine("logs", self.name)
        return result.stdout + result.stderr

    def remove(self) -> None:
        """End it in any case."""
        engine("rm", "--force", "--volumes", self.name)


@contextmanager
def container(env: Mapping[str, str], *options: str) -> Iterator[Container]:
    """Give a container that is ready; it is gone afterwards."""
    running = Container(env, *options)
    try:
        yield running
    except BaseException as error:
        error.add_note(running.logs()[-4_000:])
        raise
    finally:
        running.remove()


def _variables(env: Mapping[str, str]) -> list[str]:
    return [word for name, value in env.items() for word in ("--env", f"{name}={value}")]


def _inspect(kind: str, name: str, template: str) -> Any:
    result = engine(kind, "inspect", "--format", template, name)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
