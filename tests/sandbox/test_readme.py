"""The README of the sandbox's wheel is correct: its program and its commands run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.sandbox import SandboxProcess
from tests.support.wheels import SANDBOX

README: Final = (SANDBOX.path / "README.md").read_text()
ADDRESS: Final = "http://127.0.0.1:12111"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_program_of_the_readme_runs(sandbox: SandboxProcess) -> None:
    [program] = blocks("python")
    command = [sys.executable, "-c", program.replace(ADDRESS, sandbox.base_url)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(r"pi_\w+ succeeded\n", ended.stdout)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed, so the documented commands cannot run")
def test_the_commands_of_the_readme_run(sandbox: SandboxProcess, tmp_path: Path) -> None:
    script = "".join(block for block in blocks("sh") if not block.startswith("pip "))
    script = script.replace(ADDRESS, sandbox.base_url).replace("curl -sS", "curl -sS --fail-with-body")
    ended = subprocess.run(
        ["/bin/sh", "-eu"], input=script, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
