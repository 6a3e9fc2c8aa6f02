"""Photograph the pages of the sandbox for its documentation (`make shots`): payments of a shop, then injected faults."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import stripe
from playwright.sync_api import Page, sync_playwright

from payment_service_demo.embedded.process import ChildProcess, free_port

FOLDER: Final = Path(__file__).parent.parent / "docs" / "images"
COMMAND: Final = Path(sys.executable).with_name("stripe-sandbox")
WIDTH_PX: Final = 1000
BETWEEN_ORDERS_S: Final = 412
TIMEOUT_MS: Final = 15_000


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a customer; `amount` in minor units."""

    name: str
    amount: int
    currency: str
    what: str


MORNING: Final = (
    (Order("order-1001", 1990, "eur", "A tea pot"), {"payment_method": "pm_card_visa"}),
    (Order("order-1002", 4800, "jpy", "Four bowls"), {"payment_method": "pm_card_jcb"}),
    (Order("order-1003", 12900, "eur", "A lamp"), {"payment_method": "pm_card_createDispute"}),
    (Order("order-1004", 4250, "usd", "Linen"), {"payment_method": "pm_card_chargeDeclinedInsufficientFunds"}),
    (Order("order-1005", 8900, "eur", "A chair"), {"payment_method": "pm_card_threeDSecure2Required"}),
    (Order("order-1006", 23900, "usd", "A table"), {"payment_method": "pm_card_amex", "capture_method": "manual"}),
)
BLANKETS: Final = Order("order-1007", 7400, "gbp", "Two wool blankets")
FAULTS: Final = {
    "rules": [
        {"match": {"method": "POST", "path_prefix": "/v1/"}, "phase": "after", "action": "drop", "times": 3},
        {"match": {"operation": "refunds.create"}, "action": "rate_limited", "retry_after_s": 2},
    ],
    "webhooks": {"duplicate": 1},
    "brown_out": {"share": 0.25, "latency_ms": 800, "error_share": 0},
}


class Receiver(BaseHTTPRequestHandler):
    """The shop's webhook endpoint. It fails for the first event of a refund."""

    away = True

    def do_POST(self) -> None:
        """Answer 503 to the first refund event, otherwise 200."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        refused = Receiver.away and b'"refund.created"' in body
        if refused:
            Receiver.away = False
        self.send_response(503 if refused else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


def main() -> None:
    """Photograph every page."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, receiver() as url, sandbox(Path(folder), url) as base:
        client: Any = stripe.StripeClient("sk_test_shop", base_addresses={"api": base}, max_network_retries=0)
        for wanted, params in MORNING:
            buy(client, wanted, **params)
            control(base, "clock", {"advance_s": BETWEEN_ORDERS_S})
        blankets = buy(client, BLANKETS, payment_method="pm_card_chargeDeclined")
        client.v1.payment_intents.confirm(blankets, {"payment_method": "pm_card_visa"})
        client.v1.refunds.create({"payment_intent": blankets, "amount": 2500})
        with browser_page() as page:
            shoot_pages(page, base, blankets)
            shoot_checkout(page, base, buy(client, BLANKETS))
            control(base, "faults", FAULTS)
            with contextlib.suppress(stripe.APIConnectionError):
                buy(client, BLANKETS)
            page.goto(f"{base}/faults")
            shoot(page, "faults", 800)


def buy(client: Any, wanted: Order, **params: str) -> str:
    """Create the intent of an order, confirm it if a method is given, and return its id."""
    asked = {
        "amount": wanted.amount,
        "currency": wanted.currency,
        "payment_method_types": ["card"],
        "description": wanted.what,
        "metadata": {"order_id": wanted.name},
    }
    method = params.pop("payment_method", None)
    intent = client.v1.payment_intents.create({**asked, **params})
    if method is not None:
        with contextlib.suppress(stripe.CardError):
            client.v1.payment_intents.confirm(intent.id, {"payment_method": method})
    return str(intent.id)


def shoot_pages(page: Page, base: str, payment: str) -> None:
    """Photograph the lists and one payment after every event was delivered."""
    page.goto(f"{base}/events")
    while page.get_by_text("pending", exact=True).count():
        page.reload()
    shoot(page, "events", 760)
    page.goto(base)
    shoot(page, "payments", 760)
    page.goto(f"{base}/payments/{payment}")
    shoot(page, "payment", 1080)


def shoot_checkout(page: Page, base: str, payment: str) -> None:
    """Choose a card that requires 3-D Secure, and photograph the form and the bank's step."""
    page.goto(f"{base}/checkout/{payment}")
    page.frame_locator("#payment-element iframe").get_by_role("button", name="3-D Secure", exact=True).click()
    shoot(page, "checkout", 520)
    page.get_by_role("button", name="Pay").click()
    page.frame_locator("dialog iframe").get_by_role("button").first.wait_for()
    shoot(page, "3ds", 620)


def shoot(page: Page, name: str, height_px: int) -> None:
    """Photograph a window of this height."""
    page.set_viewport_size({"width": WIDTH_PX, "height": height_px})
    page.screenshot(path=FOLDER / f"sandbox-{name}.png", animations="disabled")


def control(base: str, what: str, body: dict[str, Any]) -> None:
    """Call the control API of the sandbox."""
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(  # noqa: S310
        urllib.request.Request(f"{base}/sandbox/{what}", json.dumps(body).encode(), headers)  # noqa: S310
    ).close()


@contextlib.contextmanager
def receiver() -> Iterator[str]:
    """Run the shop's webhook endpoint and yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/webhooks/stripe"
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def sandbox(folder: Path, webhook: str) -> Iterator[str]:
    """Run a sandbox and yield its base URL."""
    port, log = free_port(), folder / "log"
    command = [str(COMMAND), "--port", str(port), "--webhook", webhook, "--webhook-secret", "whsec_shots"]
    child = ChildProcess(command, log=log, env={"PYTHONUNBUFFERED": "1"})
    try:
        child.wait_until(lambda: "sandbox ready" in log.read_text(), timeout_s=20, name="stripe-sandbox")
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()


@contextlib.contextmanager
def browser_page() -> Iterator[Page]:
    """Yield a page of the Chromium that `scripts/with-browser` found."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        yield page
        browser.close()


if __name__ == "__main__":
    main()
