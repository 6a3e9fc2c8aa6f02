"""`scripts/test-payment-webhook.sh` sends a signed event for an existing payment and shows its result."""

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
    """Run a service that gets no events from the provider, with unpaid orders."""
    service = shop.serve()
    shop.order(*orders)
    for order in orders:
        shop.intent_of(order)
    return service


def test_the_default_event_is_accepted_and_leaves_the_payment_unchanged(shop: Shop) -> None:
    serve(shop, "o-1")
    result = send(shop, "o-1")
    assert result.returncode == 0, result.stderr
    assert "of order o-1: pending" in result.stdout
    assert "answered  200\nevent     " in result.stdout
    assert result.stdout.endswith("payment   pending\n")
    shop.wait_quiet()
    shop.check()


def test_the_option_succeed_pays_the_latest_payment(shop: Shop) -> None:
    serve(shop, "o-1")
    shop.order("o-2")
    shop.intent_of("o-2")
    result = send(shop, "--succeed")
    assert result.returncode == 0, result.stderr
    assert "of order o-2: pending" in result.stdout
    assert "event     applied\npayment   succeeded\n" in result.stdout
    shop.wait_status("succeeded", "o-2")


def test_a_refused_event_is_shown_with_its_problem(shop: Shop) -> None:
    serve(shop, "o-1")
    result = send(shop, STRIPE_WEBHOOK_SECRET="whsec_another")
    assert result.returncode == 1
    assert "answered  400" in result.stdout
    assert "urn:payment-service:not_signed" in result.stdout


def test_failures_are_reported_in_one_line_without_a_secret(shop: Shop) -> None:
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


def test_an_unreachable_service_is_reported(shop: Shop) -> None:
    serve(shop, "o-1").stop()
    result = send(shop, "o-1")
    assert result.returncode == 1
    assert "does not answer" in result.stderr
