"""The wheel of the Python client: installed alone, on the oldest and on the current Python, and used with a service."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.support.harness import Harness
from tests.support.wheels import CLIENT, EVENTS, SERVICE, Environment, build, find_python

OLDEST_PYTHON = "3.9"  # `requires-python` of payment-service-client
WHEEL_MAX_BYTES = 30_000

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("version", [OLDEST_PYTHON, "current"])
async def test_the_client_installs_alone_and_its_readme_example_works(
    version: str, harness: Harness, tmp_path: Path
) -> None:
    python = Path(sys.executable) if version == "current" else find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here, neither in PATH nor in pyenv")
    wheel = await asyncio.to_thread(build, CLIENT.path, "wheel", tmp_path)
    assert wheel.stat().st_size < WHEEL_MAX_BYTES
    environment = Environment(tmp_path, python)
    await asyncio.to_thread(environment.resolve_newest, wheel)
    installed = environment.installed()
    assert {CLIENT.name, "httpx"} <= installed
    assert not {SERVICE.name, EVENTS.name} & installed

    await harness.flows.accept("order-1001")
    await harness.flows.run_calls()
    example, printed = (
        re.search(rf"```{kind}\n(.*?)```", (CLIENT.path / "README.md").read_text(), re.DOTALL)
        for kind in ("python", "text")
    )
    assert example is not None
    assert printed is not None
    given = f"url, api_key = 'http://127.0.0.1:{harness.port}', '{harness.key}'\n"
    output = await asyncio.to_thread(environment.run, "python", "-W", "error", "-c", given + example[1])
    assert output == printed[1]
