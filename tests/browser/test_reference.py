"""The API reference at `/docs`, in a browser that fails the test for a request to another host or a blocked resource."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect

from payment_service.http import docs
from payment_service.http.app import build_operations_app
from scripts.document_api import public_app
from tests.browser.conftest import opened
from tests.support.http import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        not docs.BUNDLE.exists(), reason="scripts/fetch-reference could not bring the bundle (needs npm)"
    ),
]
WIDE: Any = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
PHONE: Any = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


def unused(*_: object) -> Any:
    raise NotImplementedError


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve the app of METRICS_PORT and return the address of its reference."""
    ports: SimpleQueue[int] = SimpleQueue()
    stop = threading.Event()

    async def serve() -> None:
        async with served(build_operations_app(readiness=unused, openapi_of=public_app())) as port:
            ports.put(port)
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    yield f"http://127.0.0.1:{ports.get(timeout=20)}/docs"
    stop.set()
    thread.join()


@pytest.fixture(params=[WIDE, PHONE], ids=["wide", "phone"])
def window(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    with opened(browser, **request.param) as page:
        page.goto(address)
        expect(page.get_by_role("heading", name="payment-service", level=1)).to_be_visible()
        yield page


def is_wide(window: Page) -> bool:
    return bool(window.viewport_size == WIDE["viewport"])


def test_the_reference_fits_the_window_and_takes_its_colors_from_the_system(window: Page) -> None:
    assert window.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    red = window.evaluate(
        "parseInt(getComputedStyle(document.querySelector('.scalar-app')).backgroundColor.match(/\\d+/)[0])"
    )
    assert (red > 200) is is_wide(window)


def test_the_search_leads_to_an_operation_with_its_parameters_and_examples(window: Page) -> None:
    if not is_wide(window):
        window.get_by_role("button", name="Open Menu").click()
    window.get_by_role("button", name="Open Search").click()
    window.get_by_role("combobox", name="Enter search query").fill("refund a payment")
    window.get_by_role("option", name="Operation: Refund a payment, fully or partly").click()
    shows_the_refund(window)
    assert window.evaluate("document.documentElement.scrollWidth - innerWidth") == 0


def test_an_address_leads_to_an_operation(window: Page, address: str) -> None:
    """People send such links to each other."""
    window.goto("about:blank")
    window.goto(f"{address}#tag/refunds/POST/v1/payments/{{payment_id}}/refunds")
    shows_the_refund(window)


def shows_the_refund(window: Page) -> None:
    operation = window.get_by_role("region", name="Refund a payment, fully or partly")
    expect(operation.get_by_role("heading", name="Refund a payment, fully or partly")).to_be_in_viewport()
    for text in ("Idempotency-Key", "The key needs the scope refund or admin.", "curl"):
        expect(operation).to_contain_text(text)
