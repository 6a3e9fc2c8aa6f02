"""Install each built package alone and use it: on every Python of this machine, and on Node.js."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Final

from packaging.specifiers import SpecifierSet

from scripts.install import PYTHON_LEAST, PYTHON_NAMES, SYSTEM_FOLDER, uv_environment

ROOT: Final = Path(__file__).resolve().parents[1]
UV: Final = Path(sys.executable).with_name("uv")
# For Pythons of PYTHON_LEAST and later. Others get the newest libraries that support them.
LOCK: Final = ROOT / "requirements" / "dev.txt"
COMMAND_TIMEOUT_S: Final = 300  # a busy machine downloads fifty libraries in minutes
_VERSION: Final = "import sys; print('.'.join(map(str, sys.version_info[:3])))"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A built wheel: the Pythons that it supports, its packages, and its commands."""

    path: Path
    requires_python: SpecifierSet
    packages: tuple[str, ...]
    commands: tuple[str, ...]


def failed_installs(dist: Path) -> list[str]:
    """Return the packages that do not work, each with its interpreter."""
    found = pythons()
    failures = []
    for path in sorted(dist.glob("*.whl")):
        wheel = read_wheel(path)
        suitable = {number: python for number, python in found.items() if wheel.requires_python.contains(number)}
        failed = [number for number, python in suitable.items() if not _works(wheel, number, python)]
        _report(path.name, [f"Python {number}" for number in suitable], failed)
        failures += [f"{path.name} on Python {number}" for number in failed]
    for path in sorted(dist.glob("*.tgz")):
        failed = [] if _works_on_node(path) else ["Node.js"]
        _report(path.name, ["Node.js"], failed)
        failures += [f"{path.name} on {name}" for name in failed]
    return failures


def pythons() -> dict[str, Path]:
    """Return an interpreter of each minor version, by its full version."""
    minors: dict[str, tuple[str, Path]] = {}
    for path in _candidates():
        shown = subprocess.run([path, "-c", _VERSION], capture_output=True, text=True, check=False)
        number = shown.stdout.strip()
        if shown.returncode == 0 and number.startswith("3."):
            minors.setdefault(number.rpartition(".")[0], (number, path))
    return {number: path for _, (number, path) in sorted(minors.items(), key=lambda item: int(item[0][2:]))}


def _candidates() -> Iterator[Path]:
    """Yield interpreters: this one, those of PATH, of the system, of pyenv and of uv."""
    yield Path(sys.executable)
    names = {*PYTHON_NAMES, *(f"python3.{minor}" for minor in range(9, 20))}
    for folder in [*os.environ.get("PATH", "").split(os.pathsep), SYSTEM_FOLDER]:
        yield from (path for name in sorted(names) if os.access(path := Path(folder, name), os.X_OK))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/3.*/bin/python"))
    listed = subprocess.run(
        [UV, "python", "list", "--only-installed", "--output-format", "json"], capture_output=True, check=False
    )
    yield from (Path(one["path"]) for one in (json.loads(listed.stdout) if listed.returncode == 0 else []))


def read_wheel(path: Path) -> Wheel:
    """Read what a wheel says about itself."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        [info] = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
        entries = ConfigParser()
        if f"{info}/entry_points.txt" in names:
            entries.read_string(archive.read(f"{info}/entry_points.txt").decode())
    return Wheel(
        path=path,
        requires_python=SpecifierSet(metadata["Requires-Python"] or ""),
        packages=tuple(sorted({name.partition("/")[0] for name in names} - {info})),
        commands=tuple(entries["console_scripts"]) if "console_scripts" in entries else (),
    )


def _works(wheel: Wheel, number: str, python: Path) -> bool:
    """Install a wheel into a fresh environment. Import its packages and run its commands."""
    with tempfile.TemporaryDirectory(prefix="release-install-") as folder:
        bin_ = Path(folder, "venv", "bin")
        new = tuple(map(int, number.split(".")[:2])) >= PYTHON_LEAST
        constraint = ("--constraint", LOCK) if new else ()
        target = ("--python", bin_ / "python", "--find-links", wheel.path.parent)
        return (
            _succeeds(UV, "venv", "--quiet", "--python", python, bin_.parent)
            and _succeeds(UV, "pip", "install", "--quiet", *target, *constraint, wheel.path)
            and all(_succeeds(bin_ / "python", "-I", "-W", "error", "-c", f"import {name}") for name in wheel.packages)
            and all(_succeeds(bin_ / command, "--help") for command in wheel.commands)
        )


def _works_on_node(package: Path) -> bool:
    """Install an npm package into an empty project and import it."""
    with tempfile.TemporaryDirectory(prefix="release-install-") as folder:
        Path(folder, "package.json").write_text('{"name": "empty", "private": true, "type": "module"}')
        install = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", package)
        if not _succeeds(*install, cwd=folder):
            return False
        [name] = json.loads(Path(folder, "package.json").read_text())["dependencies"]
        return _succeeds("node", "--input-type=module", "--eval", f"await import({name!r})", cwd=folder)


def _succeeds(*command: str | Path, cwd: str | None = None) -> bool:
    env = {**uv_environment(), **os.environ}
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=env, cwd=cwd, timeout=COMMAND_TIMEOUT_S
    )
    if result.returncode:
        print(f"release: {' '.join(map(str, command))} failed:\n{result.stdout}{result.stderr}", flush=True)
    return result.returncode == 0


def _report(name: str, tried: list[str], failed: list[str]) -> None:
    outcome = f"fails on {', '.join(failed)}" if failed else f"works on {', '.join(tried)}"
    print(f"release: {name} {outcome if tried else 'was tried nowhere: no suitable Python is here'}", flush=True)
