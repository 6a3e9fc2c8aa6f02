"""Photograph the operators' pages for the documentation (`make shots`), with the payments of the demo."""

from __future__ import annotations

from typing import Final

from playwright.sync_api import Page

from scripts.shoot_demo import address_after, demo
from scripts.shoot_sandbox import FOLDER, browser_page

WIDTH_PX: Final = 1_280
PHONE_PX: Final = 390
HEIGHT_PX: Final = 800


def main() -> None:
    """Photograph the pages on a desktop, and one on a phone."""
    with demo() as lines, browser_page() as page:
        page.goto(address_after(lines, "support, finance and operations"))
        page.get_by_role("button", name="Log in").click()
        shoot(page, "today")
        page.get_by_role("link", name="Payments", exact=True).click()
        shoot(page, "payments")
        page.get_by_role("row").filter(has_text="paid").first.get_by_role("link").click()
        shoot(page, "payment")
        shoot(page, "payment-phone", width_px=PHONE_PX)
        page.get_by_role("link", name="Refund", exact=True).click()
        shoot(page, "refund")
        page.get_by_role("link", name="Needs attention").click()
        page.get_by_role("row").get_by_role("link").first.click()
        shoot(page, "attention")


def shoot(page: Page, name: str, *, width_px: int = WIDTH_PX) -> None:
    """Photograph the whole page."""
    page.set_viewport_size({"width": width_px, "height": HEIGHT_PX})
    page.screenshot(path=FOLDER / f"pages-{name}.png", full_page=True, animations="disabled")


if __name__ == "__main__":
    main()
