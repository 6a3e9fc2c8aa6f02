"""The services of compose.yaml as processes of this machine: their own commands, environment, volumes and secrets.

A container's paths lie below a folder of its own, in which its mounts are links; so it finds there what it was given, and nothing
else. Names of hosts become addresses.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
SERVICES: Final[dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
TIMEOUT_S: Final = 60
_ENTRYPOINT: Final = ["payment-service"]  # the image's


class Project:
    """One start of compose.yaml: `variables` are those that a person sets, `hosts` where names of containers are found."""

    def __init__(self, folder: Path, *, variables: Mapping[str, str], hosts: Mapping[str, str]) -> None:
        self.folder = folder
        self._variables = variables
        self._hosts = hosts

    def volume(self, name: str) -> Path:
        """Where a volume lies here."""
        path = self.folder / "volumes" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def environment(self, name: str) -> dict[str, str]:
        """What a service is given, for a process here."""
        given = SERVICES[name].get("environment", {})
        return {key: self._context(name, str(value)) for key, value in given.items()}

    def command(self, name: str) -> list[str]:
        """What a service runs, for a process here; `sleep` of a day ends with 7."""
        service = SERVICES[name]
        words = [*service.get("entrypoint", _ENTRYPOINT), *service.get("command", [])]
        return [self._context(name, word.replace("sleep 86400", "exit 7")) for word in words]

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a service that ends by itself."""
        return subprocess.run(
            self.command(name),
            env={"PATH": f"{BIN}:{os.environ['PATH']}", **self.environment(name)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )

    def _context(self, name: str, text: str) -> str:
        text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: self._variables.get(match[1], match[2]), text)
        for host, address in self._hosts.items():
            text = text.replace(host, address)
        return f"{self._mounted(name)}{text}" if text.startswith("/") else text

    def _mounted(self, name: str) -> Path:
        """Give the root of a container, with what is mounted in it."""
        root = self.folder / "containers" / name
        for mount in SERVICES[name].get("volumes", []):
            source, path = mount.split(":")[:2]
            self._link(root, path, ROOT / source if source.startswith("./") else self.volume(source))
        for secret in SERVICES[name].get("secrets", []):
            self._link(root, f"/run/secrets/{secret}", Path(self._variables["STRIPE_SECRETS"]) / secret)
        return root

    @staticmethod
    def _link(root: Path, path: str, target: Path) -> None:
        link = root / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(target)
