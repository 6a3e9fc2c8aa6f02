"""Fuzz the API over real HTTP with schemathesis: every response matches `openapi.json`, and none is a 5xx."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from scripts.document_api import OPENAPI
from tests.support.harness import Harness, open_harness
from tests.support.sandbox import SandboxProcess

COMMAND: Final = Path(sys.executable).with_name("schemathesis")
CONFIG: Final = Path(__file__).parents[1] / "schemathesis.toml"
# Per call and phase; `make fuzz` runs more.
EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "45"))
CASES_MIN: Final = int(os.environ.get("FUZZ_CASES", "1000"))
SEED: Final = os.environ.get("FUZZ_SEED", "1")


@pytest.fixture
async def harness(database_dsn: str, sandbox: SandboxProcess) -> AsyncIterator[Harness]:
    """Create the order and the paid payment that the examples of the description name."""
    async with open_harness(database_dsn, sandbox, stripe_publishable_key="pk_test_suite") as opened:
        await opened.pay("order-1001")
        yield opened


async def fuzz(harness: Harness, folder: Path) -> tuple[int, str]:
    """Run schemathesis against the service. Return its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "--config-file",
        CONFIG,
        "run",
        OPENAPI,
        f"--url=http://127.0.0.1:{harness.port}",
        f"--header=Authorization: Bearer {harness.key}",
        "--checks=all",
        f"--max-examples={EXAMPLES}",
        f"--seed={SEED}",
        "--no-color",
        "--suppress-health-check=all",
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.timeout(7_200)
async def test_every_response_matches_the_description(harness: Harness, tmp_path: Path) -> None:
    """Refunds created on the way are checked by `open_harness`: no sum exceeds the captured amount."""
    code, said = await fuzz(harness, tmp_path)
    assert code == 0, said
    (generated,) = re.findall(r"(\d+) generated", said)
    assert int(generated) >= CASES_MIN, said
