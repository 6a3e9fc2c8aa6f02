"""The five distributions of this repository: build them, and install them into environments of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scripts.install import PACKAGES, uv_environment

ROOT: Final = Path(__file__).parents[2]
UV: Final = Path(sys.executable).with_name("uv")
COMMAND_TIMEOUT_S: Final = 200  # a busy machine unpacks fifty libraries in a minute


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution. `folder` holds its pyproject.toml, relative to the root of the repository."""

    folder: str

    @property
    def path(self) -> Path:
        """The folder of its pyproject.toml."""
        return ROOT / self.folder

    @property
    def project(self) -> dict[str, Any]:
        """The table `project` of its pyproject.toml."""
        return dict(tomllib.loads((self.path / "pyproject.toml").read_text())["project"])

    @property
    def name(self) -> str:
        """The name under which it is installed."""
        return str(self.project["name"])

    @property
    def stem(self) -> str:
        """Name and version as wheels and archives have them."""
        return f"{self.name.replace('-', '_')}-{self.project['version']}"

    def source_files(self) -> set[str]:
        """Return the files of its source that git tracks and the artifacts that are there, as the wheel names them."""
        listed = call("git", "ls-files", "src", cwd=self.path).splitlines()
        build = (
            tomllib.loads((self.path / "pyproject.toml").read_text()).get("tool", {}).get("hatch", {}).get("build", {})
        )
        made = [name.lstrip("/") for name in build.get("artifacts", []) if (self.path / name.lstrip("/")).exists()]
        return {name.removeprefix("src/") for name in [*listed, *made]}


SERVICE: Final = Distribution(".")
EVENTS, CLIENT, SANDBOX, DEMO = (Distribution(folder) for folder in PACKAGES)
DISTRIBUTIONS: Final = (SERVICE, EVENTS, CLIENT, SANDBOX, DEMO)


def call(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command that must succeed, and return its standard output."""
    result = subprocess.run(
        command, cwd=cwd, env=env or os.environ, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S
    )
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def build(source: Path, target: str, folder: Path) -> Path:
    """Build a `wheel` or an `sdist` from a folder of source."""
    call(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder, cwd=source)
    [made] = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


class Environment:
    """A fresh virtual environment, without pip and without anything of this one."""

    def __init__(self, folder: Path, python: str | Path = sys.executable) -> None:
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        self._env = {**uv_environment(), **os.environ, "VIRTUAL_ENV": str(folder / "venv")}
        self._uv("venv", "--python", python, folder / "venv")

    def sync(self, lock: str) -> None:
        """Install the libraries of `requirements/<lock>.txt`, checked by hash."""
        self._uv("pip", "sync", "--require-hashes", ROOT / "requirements" / f"{lock}.txt")

    def add(self, *wheels: Path) -> None:
        """Install wheels alone, without what they depend on and without an index."""
        self._uv("pip", "install", "--no-deps", "--no-index", *wheels)

    def resolve(self, *requirements: str | Path) -> None:
        """Install requirements and what they depend on, in the versions that requirements/dev.txt pins."""
        self._uv("pip", "install", "--constraint", ROOT / "requirements" / "dev.txt", *requirements)

    def resolve_newest(self, *requirements: str | Path) -> None:
        """Install requirements and what they depend on, in the newest versions for this Python."""
        self._uv("pip", "install", *requirements)

    def run(self, command: str, *arguments: str | Path) -> str:
        """Run a command of this environment, with no variable but PATH."""
        return call(self.bin / command, *arguments, cwd=self.folder, env={"PATH": os.environ["PATH"]})

    def installed(self) -> set[str]:
        """Return the names of the installed distributions."""
        script = "import importlib.metadata as m; print(*(d.metadata['Name'] for d in m.distributions()))"
        return set(self.run("python", "-c", script).split())

    def _uv(self, command: str, *arguments: str | Path) -> None:
        call(UV, command, "--quiet", *arguments, cwd=self.folder, env=self._env)


def find_python(version: str) -> Path | None:
    """Return an interpreter of this version (`3.9`), from PATH or from pyenv, or None."""
    on_path = shutil.which(f"python{version}")
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [*([Path(on_path)] if on_path else []), *sorted(versions.glob(f"{version}.*/bin/python"))]
    return next((path for path in candidates if _version_of(path) == version), None)


def _version_of(python: Path) -> str:
    """Return its version. A shim of pyenv may be on PATH although the version that it stands for is not active."""
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", script], capture_output=True, text=True, check=False).stdout.strip()
