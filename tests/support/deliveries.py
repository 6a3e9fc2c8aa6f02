"""Send webhooks signed as Stripe signs them, to an endpoint whose inbox records them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from stripe import WebhookSignature

from payment_service.config.config import Config
from payment_service.db.pool import Pool
from payment_service.flows.state.context import Context
from payment_service.flows.state.errors import Unavailable
from payment_service.http import problems
from payment_service.http.app import build_app
from payment_service.http.health import Readiness
from payment_service.http.middleware import RequestMiddleware
from payment_service.http.webhooks import WebhookEndpoint
from payment_service.provider.port import ProviderEvent, WebhookReceiver
from payment_service.provider.providers import Providers
from payment_service.provider.stripe.deliveries import StripeDeliveries
from tests.support.flows import config_for, name_of
from tests.support.http import Answer, request, send, served

PATH = "/webhooks/stripe"
SECRET = "whsec_suite"
JSON = {"content-type": "application/json"}
BODY_LIMIT_BYTES = 262_144
NO_DATABASE = Context(  # refused requests must not use one
    pool=cast("Pool", None), providers=cast("Providers", None), deployment="default", now=lambda: datetime.now(UTC)
)


class Inbox:
    """Records deliveries from the endpoint, or fails to store them."""

    def __init__(self) -> None:
        self.events: list[ProviderEvent] = []
        self.labels: list[str] = []
        self.quarantined: list[tuple[bytes, str, str]] = []
        self.unavailable = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def take(self, event: ProviderEvent, verified_by: str) -> None:
        if self.unavailable:
            raise Unavailable(7)
        self.events.append(event)
        self.labels.append(verified_by)
        await self.gate.wait()

    async def quarantine(self, _provider: str, body: bytes, reason: str, detail: str) -> None:
        if self.unavailable:
            raise Unavailable
        self.quarantined.append((body, reason, detail))

    @property
    def untouched(self) -> bool:
        return not self.events and not self.quarantined


def receivers_of(config: Config) -> dict[str, WebhookReceiver]:
    """Return Stripe's webhook receiver for a configuration."""
    return {"stripe": StripeDeliveries.of(config)}


async def ready() -> Readiness:
    return Readiness(ready=True, checks={})


@asynccontextmanager
async def open_endpoint(inbox: Inbox) -> AsyncIterator[int]:
    """Serve the public app with an inbox, and yield its port."""
    config = config_for("postgresql://127.0.0.1:9/none", "http://127.0.0.1:9")
    app = build_app(
        config=config,
        context=NO_DATABASE,
        reads=NO_DATABASE.pool,
        receivers=receivers_of(config),
        store_event=inbox.take,
        quarantine=inbox.quarantine,
        readiness=ready,
    )
    async with served(app) as port:
        yield port


def endpoint(inbox: Inbox, *, secrets: Sequence[str] = (SECRET,), **changes: Any) -> Starlette:
    """Build an app of the endpoint alone, with limits that a test can reach."""
    webhooks = WebhookEndpoint(
        **{
            "name": "stripe",
            "receiver": StripeDeliveries(secrets=secrets, deployment="default", livemode=False),
            "body_limit_bytes": BODY_LIMIT_BYTES,
            "store_event": inbox.take,
            "quarantine": inbox.quarantine,
            "now_s": lambda: int(time.time()),
            **changes,
        }
    )
    app = Starlette(routes=[Route(PATH, webhooks, methods=["POST"])], middleware=[Middleware(RequestMiddleware)])
    problems.install(app)
    return app


def event(kind: str = "customer.created", subject: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """Build the body of an event."""
    value = {
        "id": "evt_1",
        "object": "event",
        "created": int(time.time()),
        "livemode": False,
        "type": kind,
        "data": {"object": subject or {"id": "cus_1"}},
        **changes,
    }
    return json.dumps(value).encode()


def intent(order_id: str, **changes: Any) -> dict[str, Any]:
    """Build the paid intent of an order's payment."""
    return {
        "id": f"pi_{order_id}",
        "status": "succeeded",
        "amount": 1990,
        "amount_received": 1990,
        "currency": "eur",
        "payment_method_types": ["card"],
        "client_secret": f"pi_{order_id}_secret_abc",
        "metadata": {"deployment": "default", "order_id": order_id, "payment_id": str(name_of(order_id))},
        **changes,
    }


def sign(body: bytes, *, secret: str = SECRET, ago_s: int = 0) -> str:
    return str(WebhookSignature.generate_signature_header(body.decode("latin-1"), secret, int(time.time()) - ago_s))


async def post(
    port: int, body: bytes, headers: Mapping[str, str | None] | None = None, *, wait_close: bool = False
) -> Answer:
    """Post a body, correctly signed unless `headers` says otherwise."""
    signed = {**JSON, "stripe-signature": sign(body) if _is_utf8(body) else "t=1,v1=1", **(headers or {})}
    return await send(port, request("POST", PATH, signed, body), wait_close=wait_close)


def _is_utf8(body: bytes) -> bool:
    return body.isascii()


def assert_refused(answer: Answer, status: int) -> None:
    """Assert a problem with this status, without details about the server."""
    assert (answer.status, answer.is_problem) == (status, True), answer
    assert "server" not in answer.headers
    assert b"Traceback" not in answer.body
