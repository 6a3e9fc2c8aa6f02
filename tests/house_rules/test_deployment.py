"""What the papers of a deployment can be held against without one: linters and schemas that others keep."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from payment_service.config import Config
from payment_service.http import bodies, server

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


def test_the_limits_of_nginx_are_those_of_the_service() -> None:
    """A larger one would be none, a smaller one would refuse what the papers promise to take."""
    text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    limits = {
        path: int(size) * 1024
        for path, size in re.findall(r"location (?:= )?(\S+) \{\s+client_max_body_size (\d+)k;", text)
    }
    webhook_limit = Config.model_fields["webhook_body_limit_bytes"].default
    assert limits == {"/webhooks/stripe": webhook_limit, "/v1/": bodies.BODY_LIMIT_BYTES}
    assert _seconds(r"client_header_timeout (\d+)s", text) == server.HEAD_TIMEOUT_S
    assert _seconds(r"keepalive 64;[^}]+keepalive_timeout (\d+)s", text) < server.KEEP_ALIVE_TIMEOUT_S
    buffers = re.search(r"large_client_header_buffers (\d+) (\d+)k", text)
    assert buffers is not None
    assert int(buffers[1]) * int(buffers[2]) * 1024 == server.HEAD_LIMIT_BYTES


def _seconds(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found is not None, pattern
    return int(found[1])
