"""Run the command `payment-service` as a person or a script does."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from tests.support.prefork import run_forked

COMMAND: Final = Path(sys.executable).with_name("payment-service")
NOWHERE: Final = "postgresql://someone:hunter22@127.0.0.1:9/payments"

# On a busy machine the imports of a command take seconds.
TIMEOUT_S: Final = 120

Result = subprocess.CompletedProcess[str]


def run(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run the command without a terminal."""
    with Path(os.devnull).open("rb") as nothing:
        return _run(arguments, env or {}, nothing)


def run_on_terminal(*arguments: str, answer: str, env: Mapping[str, str]) -> Result:
    """Run the command on a terminal and type the answer to its question."""
    typing, terminal = pty.openpty()
    try:
        os.write(typing, answer.encode())
        with open(terminal, "rb", buffering=0) as there:  # noqa: PTH123 - a descriptor
            return _run(arguments, env, there)
    finally:
        os.close(typing)


def _run(arguments: Sequence[str], env: Mapping[str, str], typed: IO[bytes]) -> Result:
    env = {"PATH": os.environ["PATH"], "PAYMENT_SERVICE_AS": "suite", **env}
    with TemporaryFile() as output, TemporaryFile() as errors:
        code = run_forked(COMMAND.name, arguments, env, files=(typed, output, errors), timeout_s=TIMEOUT_S)
        texts = [file.read().decode() for file in (output, errors) if file.seek(0) == 0]
    return Result([COMMAND.name, *arguments], code, *texts)


def failed_check(report: Result, subject: str) -> str:
    """Return the line of `doctor` that says what failed about a subject."""
    lines = [line for line in report.stdout.splitlines() if line.split()[:2] == ["failed", subject]]
    assert len(lines) == 1, report.stdout + report.stderr
    return lines[0]


def done(result: Result) -> Any:
    """Assert success and return the one JSON document on standard output."""
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def assert_fails(result: Result, code: int, sentence: str) -> None:
    """Assert one line on standard error, empty standard output, no traceback and no password."""
    assert (result.returncode, result.stdout) == (code, ""), result.stderr
    assert re.fullmatch(r"[^\n]+\n", result.stderr), result.stderr
    assert sentence in result.stderr
    assert "hunter22" not in result.stderr


def key_shown(result: Result) -> str:
    """Return the idempotency key that a command prints for its change."""
    [key] = re.findall(r"^--key (\S+) ", result.stderr, re.MULTILINE)
    return str(key)
