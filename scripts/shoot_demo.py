"""Photograph the demo's shop (`make shots`): a declined customer pays with another card, then looks on a phone."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts.shoot_sandbox import FOLDER, browser_page

COMMAND: Final = Path(sys.executable).with_name("payment-service")
LAST_LINE: Final = "It stays up; Ctrl-C ends it.\n"
WIDTH_PX: Final = 1_120
HEIGHT_PX: Final = 780
PHONE_WIDTH_PX: Final = 390


def main() -> None:
    """Photograph the page."""
    with demo() as lines, browser_page() as page:
        page.set_viewport_size({"width": WIDTH_PX, "height": HEIGHT_PX})
        page.goto(address_after(lines, "pay or be declined"))
        page.get_by_role("button", name="Buy for").click()
        form = page.frame_locator("#payment-element iframe")
        form.get_by_role("button", name="Insufficient funds", exact=True).click()
        page.get_by_role("button", name="Pay 74.00 EUR").click()
        page.get_by_text("payments.failed").wait_for()
        form.get_by_role("button", name="3-D Secure", exact=True).click()
        page.screenshot(path=FOLDER / "demo-shop.png", animations="disabled")
        page.get_by_role("button", name="Pay 74.00 EUR").click()
        page.frame_locator("dialog iframe").get_by_role("button", name="Complete").click()
        page.get_by_text("payments.succeeded").wait_for()
        page.get_by_role("heading", name="Thank you!").wait_for()
        page.screenshot(path=FOLDER / "demo-shop-paid.png", animations="disabled")
        page.set_viewport_size({"width": PHONE_WIDTH_PX, "height": HEIGHT_PX})
        page.screenshot(path=FOLDER / "demo-shop-phone.png", animations="disabled", full_page=True)


@contextmanager
def demo() -> Iterator[str]:
    """Run the demo and yield what it prints."""
    with tempfile.TemporaryDirectory(prefix="shoot-demo-") as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs as `nobody` and must be able to enter the folder
        process = subprocess.Popen([COMMAND, "demo"], env={"TMPDIR": folder}, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None  # noqa: S101 - PIPE in the line above
        try:
            yield "".join(iter(process.stdout.readline, LAST_LINE))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


def address_after(lines: str, words: str) -> str:
    """Return the address that the demo prints after these words."""
    return str(re.findall(rf"{re.escape(words)}.*: +(http\S+)$", lines, re.MULTILINE)[0])


if __name__ == "__main__":
    main()
