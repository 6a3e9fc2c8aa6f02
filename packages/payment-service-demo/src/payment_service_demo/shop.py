"""The shop of the demo: a page on which you buy and pay, and the small server behind it.

The server works like the server of a real shop. It writes orders to Kafka, calls the service with a key that the page never
sees, only for orders that it placed itself, and returns the responses to the page. The page pays through Stripe.js of the
sandbox.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from concurrent.futures import Future
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final, Self

import aiohttp
from confluent_kafka import Producer
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from payment_service.contracts.records import ORDERS_CREATED
from payment_service.http.server import HttpServer
from payment_service_demo.environment import DemoError, Environment
from payment_service_demo.received import ReceivedRecord, ReceivedRecords

HOST: Final = "127.0.0.1"
START_TIMEOUT_S: Final = 10
BROKER_TIMEOUT_S: Final = 10
REQUEST_TIMEOUT_S: Final = 10
STOP_GRACE_S: Final = 1
BODY_LIMIT_BYTES: Final = 4_096  # two ids take a hundred
WHAT: Final = "Two wool blankets"
TOTAL: Final = "74.00"
CURRENCY: Final = "eur"
_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_UNSTORED: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Shop:
    """The server. It listens on a free local port, in a thread of its own, until the end of `with`."""

    def __init__(self, environment: Environment, received: ReceivedRecords) -> None:
        self._environment = environment
        self._received = received
        self._producer = Producer(
            {"bootstrap.servers": environment.env["KAFKA_BROKERS"], "acks": "all", "log_level": 0}
        )
        self._port: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name="shop", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self._port.result()}/"

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._port.result(START_TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            message = f"The page of the shop cannot be served: {error or type(error).__name__}."
            raise DemoError(message) from None
        return self

    def __exit__(self, *_error: object) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(2 * STOP_GRACE_S + START_TIMEOUT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits for the port
            if not self._port.done():
                self._port.set_exception(error)

    async def _serve(self) -> None:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._environment.api_key}"}
        async with aiohttp.ClientSession(
            self._environment.service_url, timeout=timeout, headers=headers
        ) as self._session:
            server = HttpServer(self._app(), HOST, 0)
            port = await server.start()
            self._loop = asyncio.get_running_loop()
            self._port.set_result(port)
            await self._stopping.wait()
            await server.stop(STOP_GRACE_S)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/shop.{kind:str}", self._asset),
                Route("/orders", self._place, methods=["POST"]),
                Route("/checkout", self._checkout),
                Route("/payments", self._open_payment, methods=["POST"]),
                Route("/cancel", self._cancel, methods=["POST"]),
                Route("/records", self._records),
            ],
            # A page of another site must not reach the shop through a domain that resolves to this address.
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        )

    async def _page(self, _request: Request) -> Response:
        sandbox = self._environment.sandbox_url
        text = _read("shop.html").replace("{{ stripe_js }}", f"{sandbox}/v3/").replace("{{ sandbox }}", sandbox)
        for name, value in {"what": WHAT, "amount": f"{TOTAL} {CURRENCY.upper()}"}.items():
            text = text.replace(f"{{{{ {name} }}}}", value)
        policy = (
            f"default-src 'none'; script-src 'self' {sandbox}; style-src 'self'; connect-src 'self' {sandbox}; "
            f"frame-src {sandbox}; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return Response(text, headers={**_UNSTORED, "Content-Security-Policy": policy}, media_type="text/html")

    async def _asset(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in {"css", "js"}:
            raise HTTPException(404)
        return Response(_read(f"shop.{kind}"), headers=_UNSTORED, media_type=_TYPES[kind])

    async def _place(self, request: Request) -> Response:
        await _body(request)
        order_id = f"shop-{secrets.token_hex(4)}"
        item = {"product_id": "blanket", "quantity": 2, "price": "37.00"}
        order = {"order_id": order_id, "user_id": "you", "total": TOTAL, "currency": CURRENCY, "items_count": 1}
        order["items"] = [item]
        self._received.add_order(order_id, ReceivedRecord(ORDERS_CREATED, order))
        self._producer.produce(ORDERS_CREATED, key=order_id, value=json.dumps(order).encode())
        if await asyncio.to_thread(self._producer.flush, BROKER_TIMEOUT_S):
            return JSONResponse({"detail": "Kafka does not accept the order now."}, 503, headers=_UNSTORED)
        return JSONResponse({"order_id": order_id}, 201, headers=_UNSTORED)

    async def _checkout(self, request: Request) -> Response:
        order_id = self._own_order(request.query_params.get("order_id"))
        return await self._call("GET", "/v1/checkout", params={"order_id": order_id})

    async def _open_payment(self, request: Request) -> Response:
        """Open the next payment. The key names the ended payment, so that a double click or a second tab opens only one."""
        body = await _body(request)
        order_id = self._own_order(body.get("order_id"))
        key = {"Idempotency-Key": f"after-{await self._own_payment(order_id, body)}"}
        return await self._call("POST", "/v1/payments", json={"order_id": order_id}, headers=key)

    async def _cancel(self, request: Request) -> Response:
        body = await _body(request)
        payment_id = await self._own_payment(self._own_order(body.get("order_id")), body)
        key = {"Idempotency-Key": f"cancel-{payment_id}"}
        return await self._call("POST", f"/v1/payments/{payment_id}/cancel", json={}, headers=key)

    async def _records(self, request: Request) -> Response:
        order_id = self._own_order(request.query_params.get("order_id"))
        return JSONResponse({"records": self._received.of_order(order_id)}, headers=_UNSTORED)

    async def _call(self, method: str, path: str, **more: Any) -> Response:
        """Call the service and return its response."""
        assert self._session is not None  # noqa: S101 - created before the first request
        try:
            async with self._session.request(method, path, **more) as answer:
                wait = {name: answer.headers[name] for name in ("Retry-After",) if name in answer.headers}
                content = await answer.read()
                return Response(content, answer.status, {**_UNSTORED, **wait}, answer.content_type)
        except (aiohttp.ClientError, TimeoutError):
            return JSONResponse({"detail": "The payment service does not respond now."}, 503, headers=_UNSTORED)

    def _own_order(self, order_id: object) -> str:
        """Return the id of an order that was placed on this page. A shop must check the owner of an order first."""
        if not isinstance(order_id, str) or self._received.of_order(order_id) is None:
            raise HTTPException(404, "This shop has no such order.")
        return order_id

    async def _own_payment(self, order_id: str, body: dict[str, Any]) -> str:
        """Check the payment with the service: the page may see it before its record arrives on Kafka."""
        answer = await self._call("GET", "/v1/payments", params={"order_id": order_id})
        if answer.status_code != HTTPStatus.OK:
            raise HTTPException(503, "The payment service does not respond now.")
        if body.get("payment_id") not in {payment["id"] for payment in json.loads(bytes(answer.body))["data"]}:
            raise HTTPException(404, "The order has no such payment.")
        return str(body["payment_id"])


async def _body(request: Request) -> dict[str, Any]:
    """Read a JSON object. Pages of other sites cannot send this content type without a preflight, which fails here."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "Send JSON.")
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > BODY_LIMIT_BYTES:
            raise HTTPException(413, "The body is too large.")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not JSON.") from None
    return body if isinstance(body, dict) else {}


def _read(name: str) -> str:
    return files("payment_service_demo").joinpath("page", name).read_text(encoding="utf-8")
