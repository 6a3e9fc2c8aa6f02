"""Send a signed event for an existing payment and show the result. scripts/test-payment-webhook.sh runs it.

It needs only the service and its environment (DB_DSN, STRIPE_WEBHOOK_SECRET, DEPLOYMENT), so it can be piped into a container:
`… python - ORDER_ID <scripts/send_webhook.py`. Exit codes: 0 applied, 1 not applied, 2 usage or configuration.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from http import HTTPStatus
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr
from stripe import WebhookSignature

from payment_service.config.config import Config, ConfigError, DatabaseSettings
from payment_service.provider.stripe.amounts import to_stripe
from payment_service.provider.stripe.api_versions import API_VERSION
from payment_service_events.currency import currency
from payment_service_events.money import Money

ANSWER_TIMEOUT_S: Final = 30
APPLIED_TIMEOUT_S: Final = 15.0
POLL_INTERVAL_S: Final = 0.1

PAYMENT: Final = """
SELECT id, order_id, provider_payment_id AS intent_id, amount, currency, status
FROM payments
WHERE provider = 'stripe' AND provider_payment_id IS NOT NULL AND order_id = coalesce(%s, order_id)
ORDER BY created_at DESC, attempt DESC LIMIT 1
"""
EVENT: Final = """
SELECT processed, coalesce(parked_reason, result, 'waiting') AS outcome FROM payment_events
WHERE provider = 'stripe' AND provider_event_id = %s
"""
STATUS: Final = "SELECT status FROM payments WHERE id = %s"

Row = dict[str, Any]


class SenderSettings(DatabaseSettings):
    """The part of the service's environment that this script needs."""

    stripe_webhook_secret: SecretStr
    stripe_secret_key: SecretStr = SecretStr("")
    service_port: int = Config.model_fields["service_port"].default
    deployment: str = Config.model_fields["deployment"].default

    @property
    def livemode(self) -> bool:
        """Return True if the service uses a live key. Events of the other mode are refused."""
        return "_live_" in self.stripe_secret_key.get_secret_value()


class CanNotSend(Exception):
    """An error before anything was sent; the message says why."""


def main() -> int:
    """Send an event and return the exit code."""
    parser = argparse.ArgumentParser(prog="test-payment-webhook.sh", description="Send a signed event for a payment.")
    parser.add_argument(
        "order_id", nargs="?", help="the order of the payment; default: the latest payment with an intent"
    )
    parser.add_argument("--succeed", action="store_true", help="report the payment as paid; refused with a live key")
    asked = parser.parse_args()
    try:
        settings = SenderSettings.from_environment()
        with psycopg.connect(settings.db_dsn.get_secret_value(), row_factory=dict_row, autocommit=True) as database:
            return _send(settings, database, asked.order_id, succeed=asked.succeed)
    except ConfigError as error:
        return _say(str(error), 2)
    except CanNotSend as error:
        return _say(str(error), 1)
    except psycopg.OperationalError:
        return _say("Cannot connect to PostgreSQL. Check DB_DSN.", 1)


def _send(settings: SenderSettings, database: psycopg.Connection[Row], order_id: str | None, *, succeed: bool) -> int:
    if succeed and settings.livemode:
        raise CanNotSend("--succeed would report an unpaid payment as paid. Use it with a test key only.")
    payment = database.execute(PAYMENT, [order_id]).fetchone()
    if payment is None:
        whose = f"Order {order_id} has no payment with an intent" if order_id else "No payment has an intent yet"
        raise CanNotSend(f"{whose}. Send an order first.")
    event = _event(settings, payment, succeed=succeed)
    url = os.environ.get("TARGET_URL") or f"http://127.0.0.1:{settings.service_port}/webhooks/stripe"
    print(f"payment   {payment['id']} of order {payment['order_id']}: {payment['status']}")
    print(f"sent      {event['type']} {event['id']} to {url}")
    status = _post(url, json.dumps(event).encode(), settings)
    print(f"answered  {status}")
    if status != HTTPStatus.OK:
        return 1
    stored = _await_outcome(database, event["id"])
    after = database.execute(STATUS, [payment["id"]]).fetchone()
    print(
        f"event     {stored['outcome'] if stored else 'is not in this database. Is DB_DSN the same as for the service?'}"
    )
    print(f"payment   {after['status'] if after else 'gone'}")
    return 0 if stored and stored["processed"] else 1


def _event(settings: SenderSettings, payment: Row, *, succeed: bool) -> dict[str, Any]:
    """Return an event in Stripe's format. Without `succeed` it reports a known state and changes nothing."""
    amount = to_stripe(Money(payment["amount"], currency(payment["currency"])))
    now = int(time.time())
    intent = {
        "id": payment["intent_id"],
        "object": "payment_intent",
        "created": now,
        "livemode": settings.livemode,
        "amount": amount,
        "amount_received": amount if succeed else 0,
        "currency": payment["currency"],
        "status": "succeeded" if succeed else "requires_payment_method",
        "payment_method_types": ["card"],
        "metadata": {
            "deployment": settings.deployment,
            "order_id": payment["order_id"],
            "payment_id": str(payment["id"]),
        },
    }
    return {
        "id": f"evt_test_{uuid.uuid4().hex[:16]}",
        "object": "event",
        "api_version": API_VERSION,
        "created": now,
        "livemode": settings.livemode,
        "type": "payment_intent.succeeded" if succeed else "payment_intent.created",
        "data": {"object": intent},
    }


def _post(url: str, body: bytes, settings: SenderSettings) -> int:
    """Sign and post the event, and return the status. During a rotation of the secret, sign with the first."""
    secret = settings.stripe_webhook_secret.get_secret_value().partition(",")[0].strip()
    signature = str(WebhookSignature.generate_signature_header(body.decode(), secret))
    headers = {"Content-Type": "application/json", "Stripe-Signature": signature}
    try:
        # The operator names the address.
        request = urllib.request.Request(url, body, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        print(f"          {error.read(1_000).decode(errors='replace')}")
        return error.code
    except (OSError, ValueError) as error:
        raise CanNotSend(f"{url} does not answer ({getattr(error, 'reason', error)}).") from None


def _await_outcome(database: psycopg.Connection[Row], event_id: str) -> Row | None:
    """Wait until the event is applied or the time is over, and return its row."""
    give_up_s = time.monotonic() + APPLIED_TIMEOUT_S
    while True:
        row = database.execute(EVENT, [event_id]).fetchone()
        if row is None or row["processed"] or time.monotonic() > give_up_s:
            return row
        time.sleep(POLL_INTERVAL_S)


def _say(sentence: str, code: int) -> int:
    print(f"test-payment-webhook: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
