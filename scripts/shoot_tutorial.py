"""Photograph the payment page of the tutorial's shop (`make shots`). A card is declined."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from payment_service_demo.embedded.process import free_port
from scripts.shoot_sandbox import FOLDER, browser_page

ROOT: Final = Path(__file__).resolve().parents[1]
COMMAND: Final = Path(sys.executable).with_name("payment-service")
WIDTH_PX: Final = 560
HEIGHT_PX: Final = 310


def main() -> None:
    """Photograph the page."""
    with shop() as url, browser_page() as page:
        page.set_viewport_size({"width": WIDTH_PX, "height": HEIGHT_PX})
        page.goto(url)
        page.get_by_role("button", name="Buy a teapot").click()
        form = page.frame_locator("#payment-element iframe")
        form.get_by_role("button", name="Declined", exact=True).click()
        page.get_by_role("button", name="Pay", exact=True).click()
        page.get_by_text("Your card was declined.").wait_for()
        page.screenshot(path=FOLDER / "tutorial-checkout.png", animations="disabled")


@contextmanager
def shop() -> Iterator[str]:
    """Run the servers, the service and the shop of the tutorial, and yield the shop's address."""
    with tempfile.TemporaryDirectory(prefix="shoot-tutorial-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL runs as `nobody` and must be able to enter the folder
        port = str(free_port())
        shutil.copy(ROOT / "docs" / "examples" / "checkout.html", folder)
        [program] = re.findall(
            r'^```python title="shop.py"\n(.*?)^```',
            (ROOT / "docs" / "tutorial.md").read_text(),
            re.DOTALL | re.MULTILINE,
        )
        (folder / "shop.py").write_text(program.replace("8000", port))
        env = {"PATH": os.environ["PATH"], "TMPDIR": name}
        with program_of([COMMAND, "demo", "--servers", "shop.env"], "shop.env;", folder, env):
            env |= dict(re.findall(r"^export (\w+)=(.*)$", (folder / "shop.env").read_text(), re.MULTILINE))
            run(env, "migrate")
            run(env, "topics", "create")
            (folder / "shop.key").write_bytes(run(env, "keys", "create", "--client", "shop", "--scope", "checkout"))
            service = program_of([COMMAND, "serve"], '"partitions_assigned"', folder, env)
            with service, program_of([sys.executable, "shop.py"], "is open", folder, env):
                yield f"http://localhost:{port}"


def run(env: dict[str, str], *arguments: str) -> bytes:
    """Run a command of the service and return its output."""
    return subprocess.run([str(COMMAND), *arguments], env=env, check=True, capture_output=True).stdout


@contextmanager
def program_of(command: list[str | Path], ready: str, folder: Path, env: dict[str, str]) -> Iterator[None]:
    """Run a program from the moment when it prints `ready` until the end of `with`."""
    process = subprocess.Popen(
        command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None  # noqa: S101 - PIPE in the line above
    try:
        while ready not in (line := process.stdout.readline()):
            if not line:
                raise RuntimeError(f"{command} ended before it printed {ready}.")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


if __name__ == "__main__":
    main()
