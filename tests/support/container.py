"""Run containers of the image with the least privileges it documents. Only `make image-test` runs these tests."""

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
# A read-only root, no capabilities and no way to gain any. The tests check health themselves.
CONFINED: Final = (
    *("--network", "host", "--no-healthcheck"),
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)
COMMAND_TIMEOUT_S: Final = 60
READY_TIMEOUT_S: Final = 30.0
STOP_GRACE_S: Final = 30


def engine(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Docker or Podman and return the result without checking it."""
    return subprocess.run(
        [ENGINE, *arguments], capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S + STOP_GRACE_S
    )


def run(
    *arguments: str, env: Mapping[str, str] | None = None, entrypoint: str = "", options: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command of `payment-service` (or another entry point) in a temporary container."""
    entry = ["--entrypoint", entrypoint] if entrypoint else []
    return engine("run", "--rm", *CONFINED, *entry, *options, *_variables(env or {}), IMAGE, *arguments)


def image_config() -> dict[str, Any]:
    """Return the configuration of the image: user, labels, health check, …"""
    config: dict[str, Any] = _inspect("image", IMAGE, "{{json .Config}}")
    if "Healthcheck" not in config:  # Podman keeps it in another place
        config["Healthcheck"] = _inspect("image", IMAGE, "{{json .HealthCheck}}")
    return config


class Container:
    """A serving container, on local ports."""

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
        """Request `/ready` once."""
        return is_ready(self.metrics_port)

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container."""
        return engine("exec", self.name, *command)

    def stop(self) -> int:
        """Send SIGTERM, wait for the exit, and return the exit code (137 if it had to be killed)."""
        stopped = engine("stop", "--time", str(STOP_GRACE_S), self.name)
        assert stopped.returncode == 0, stopped.stderr
        return int(_inspect("container", self.name, "{{json .State.ExitCode}}"))

    def logs(self) -> str:
        """Return the log so far."""
        result = engine("logs", self.name)
        return result.stdout + result.stderr

    def remove(self) -> None:
        """Remove the container."""
        engine("rm", "--force", "--volumes", self.name)


@contextmanager
def container(env: Mapping[str, str], *options: str) -> Iterator[Container]:
    """Yield a ready container and remove it afterwards."""
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
