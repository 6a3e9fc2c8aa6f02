"""Every command of docs/troubleshooting.md runs as written against a running service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.command import COMMAND, done, run
from tests.support.service import ServiceProcess
from tests.support.shop import Shop

PAGE: Final = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
BLOCKS: Final = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
COMMANDS: Final = list(dict.fromkeys(line for block in BLOCKS for line in block.splitlines()))


def environment_of(shop: Shop, service: ServiceProcess) -> dict[str, str]:
    """Return the environment of the service, and the variables that the page's commands use."""
    listed = done(run("attention", "list", "--what", "quarantine", "--json", env=service.env))["data"]
    known = {"ORDER": "o-1", "CASE": listed[0]["id"], "API": service.url, "METRICS": service.metrics_url}
    return service.env | known | {"PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}


@pytest.mark.kafka
@pytest.mark.timeout(240)  # about fifteen commands, each a second or more on a busy machine
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to run the page's commands")
def test_every_command_of_the_page_runs_and_prints_output(shop: Shop) -> None:
    service = shop.serve()
    shop.order("o-1")
    shop.write([{"order_id": "o-2"}], bad=1)
    shop.pay("o-1")
    shop.wait_status("succeeded", "o-1")
    shop.wait_quiet()
    environment = environment_of(shop, service)
    assert len(COMMANDS) > 10
    for command in COMMANDS:
        result = subprocess.run(
            ["/bin/sh", "-euc", command], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert result.returncode == 0, (command, result)
        assert result.stdout.strip() or result.stderr.startswith(("Nothing", "There are no")), (command, result)
    shop.check()
