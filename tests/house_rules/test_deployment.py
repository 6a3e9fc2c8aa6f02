"""What the papers of a deployment can be held against without one: linters and schemas that others keep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent


def lint(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a linter of this environment on files of the project."""
    return subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_dockerfile_is_clean() -> None:
    result = lint("hadolint", "Dockerfile")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


def test_the_linter_of_the_dockerfile_finds_something_where_it_is(tmp_path: Path) -> None:
    """One that finds nothing anywhere would let everything pass."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian:latest\nRUN cd /tmp && sudo apt-get install curl\n")
    assert lint("hadolint", str(bad)).returncode != 0
