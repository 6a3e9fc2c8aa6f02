"""`scripts/test-payment-webhook.sh`: a signed event for a payment that exists, and what became of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from tests.support.service import ServiceProcess
from tests.support.shop import Shop

SCRIPT: Final = Path(__file__).parents[2] / "scripts" / "test-payment-webhook.sh"


def send(shop: Shop, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    env = {"DB_DSN": shop.dsn, "STRIPE_WEBHOOK_SECRET": "whsec_suite", "SERVICE_PORT": str(shop.port), **changes}
    return subprocess.run(
        [SCRIPT, *arguments],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def serve(shop: Shop, *orders: str) -> ServiceProcess:
    """Run a service to which the provider does not talk, with orders that wait for their customers."""
    service = shop.serve()
    shop.order(*orders)
    for order in orders:
        shop.intent_of(order)
    return service


def test_it_shows_a_payment_that_takes_the_event_and_stays_as_it_was(shop: Shop) -> None:
    serve(shop, "o-1")
    result = send(shop, "o-1")
    assert result.returncode == 0, result.stderr
    assert "of order o-1: pending" in result.stdout
    assert "answered  200\nevent     " in result.stdout
    assert result.stdout.endswith("payment   pending\n")
    shop.wait_quiet()
    shop.check()


def test_asked_to_it_says_that_the_latest_payment_is_paid(shop: Shop) -> None:
    serve(shop, "o-1")
    shop.order("o-2")
    shop.intent_of("o-2")
    result = send(shop, "--succeed")
    assert result.returncode == 0, result.stderr
    assert "of order o-2: pending" in result.stdout
    assert "event     applied\npayment   succeeded\n" in result.stdout
    shop.wait_status("succeeded", "o-2")


def test_what_is_refused_is_shown(shop: Shop) -> None:
    serve(shop, "o-1")
    result = send(shop, STRIPE_WEBHOOK_SECRET="whsec_another")
    assert result.returncode == 1
    assert "answered  400" in result.stdout
    assert "urn:payment-service:not_signed" in result.stdout


def test_what_can_not_be_sent_is_told_in_one_line_without_a_secret(shop: Shop) -> None:
    for result in (
        send(shop),
        send(shop, "o-7"),
        send(shop, DB_DSN="postgresql://someone:hunter22@127.0.0.1:9/none"),
        send(shop, STRIPE_WEBHOOK_SECRET=""),
        send(shop, "--succeed", STRIPE_SECRET_KEY="sk_live_hunter22"),
    ):
        assert result.returncode in {1, 2}
        assert result.stderr.startswith("test-payment-webhook: ")
        assert result.stderr.count("\n") == 1
        assert "hunter22" not in result.stderr + result.stdout


def test_a_service_that_does_not_answer_is_told(shop: Shop) -> None:
    serve(shop, "o-1").stop()
    result = send(shop, "o-1")
    assert result.returncode == 1
    assert "does not answer" in result.stderr
