"""Run the services of compose.yaml as local processes, with their own commands, environment, volumes and secrets.

Each container has a root folder in which its mounts are links, so it sees only its own files. Host names become
addresses.
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
    """A start of compose.yaml. `variables` are the user's settings; `hosts` maps container names to addresses."""

    def __init__(self, folder: Path, *, variables: Mapping[str, str], hosts: Mapping[str, str]) -> None:
        self.folder = folder
        self._variables = variables
        self._hosts = hosts

    def volume(self, name: str) -> Path:
        """Return the folder of a volume."""
        path = self.folder / "volumes" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a service for a local process."""
        given = SERVICES[name].get("environment", {})
        return {key: self._context(name, str(value)) for key, value in given.items()}

    def command(self, name: str) -> list[str]:
        """Return the command of a service for a local process. A `sleep` of a day exits with 7."""
        service = SERVICES[name]
        words = [*service.get("entrypoint", _ENTRYPOINT), *service.get("command", [])]
        return [self._context(name, word.replace("sleep 86400", "exit 7")) for word in words]

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a service that exits by itself."""
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
        """Return the root folder of a container, with its mounts."""
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
