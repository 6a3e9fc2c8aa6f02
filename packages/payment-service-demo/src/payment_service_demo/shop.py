"""The shop of the demo: a page on which a person buys and pays, and the small server behind it.

The server does what a shop's own would: it writes orders to Kafka, asks the service with a key that no page ever sees, for
orders that it has placed itself, and hands the answers to the page. The page pays by Stripe.js, here the emulator's.
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
from payment_service_demo.heard import Heard, Told
from payment_service_demo.stage import DemoError, Stage

HOST: Final = "127.0.0.1"
START_TIMEOUT_S: Final = 10
BROKER_TIMEOUT_S: Final = 10
REQUEST_TIMEOUT_S: Final = 10
STOP_GRACE_S: Final = 1
BODY_LIMIT_BYTES: Final = 4_096  # two ids have a hundred
WHAT: Final = "Two wool blankets"
TOTAL: Final = "74.00"
CURRENCY: Final = "eur"
_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_UNSTORED: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Shop:
    """Serves on a free port of this machine, in a thread of its own, until the end of `with`."""

    def __init__(self, stage: Stage, heard: Heard) -> None:
        self._stage = stage
        self._heard = heard
        self._producer = Producer({"bootstrap.servers": stage.env["KAFKA_BROKERS"], "acks": "all", "log_level": 0})
        self._port: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name="shop", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self._port.result()}/"

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._port.result(START_TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            message = f"The shop's page can't be served: {error or type(error).__name__}."
            raise DemoError(message) from None
        return self

    def __exit__(self, *_error: object) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(2 * STOP_GRACE_S + START_TIMEOUT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - told by whoever waits for the port
            if not self._port.done():
                self._port.set_exception(error)

    async def _serve(self) -> None:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._stage.api_key}"}
        async with aiohttp.ClientSession(self._stage.service_url, timeout=timeout, headers=headers) as self._session:
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
                Route("/heard", self._tell),
            ],
            # Another site's page must not reach the shop by a name of its own that leads here.
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        )

    async def _page(self, _request: Request) -> Response:
        sandbox = self._stage.sandbox_url
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
        self._heard.begin(order_id, Told(ORDERS_CREATED, order))
        self._producer.produce(ORDERS_CREATED, key=order_id, value=json.dumps(order).encode())
        if await asyncio.to_thread(self._producer.flush, BROKER_TIMEOUT_S):
            return JSONResponse({"detail": "Kafka does not take the order now."}, 503, headers=_UNSTORED)
        return JSONResponse({"order_id": order_id}, 201, headers=_UNSTORED)

    async def _checkout(self, request: Request) -> Response:
        order_id = self._own_order(request.query_params.get("order_id"))
        return await self._ask("GET", "/v1/checkout", params={"order_id": order_id})

    async def _open_payment(self, request: Request) -> Response:
        """The key names the payment that ended, so that a double click, or a second tab, opens one."""
        body = await _body(request)
        order_id = self._own_order(body.get("order_id"))
        key = {"Idempotency-Key": f"after-{await self._own_payment(order_id, body)}"}
        return await self._ask("POST", "/v1/payments", json={"order_id": order_id}, headers=key)

    async def _cancel(self, request: Request) -> Response:
        body = await _body(request)
        payment_id = await self._own_payment(self._own_order(body.get("order_id")), body)
        key = {"Idempotency-Key": f"cancel-{payment_id}"}
        return await self._ask("POST", f"/v1/payments/{payment_id}/cancel", json={}, headers=key)

    async def _tell(self, request: Request) -> Response:
        order_id = self._own_order(request.query_params.get("order_id"))
        return JSONResponse({"records": self._heard.of(order_id)}, headers=_UNSTORED)

    async def _ask(self, method: str, path: str, **more: Any) -> Response:
        """Ask the service, and hand its answer on."""
        assert self._session is not None  # noqa: S101 - made before the first request can come
        try:
            async with self._session.request(method, path, **more) as answer:
                wait = {name: answer.headers[name] for name in ("Retry-After",) if name in answer.headers}
                content = await answer.read()
                return Response(content, answer.status, {**_UNSTORED, **wait}, answer.content_type)
        except (aiohttp.ClientError, TimeoutError):
            return JSONResponse({"detail": "The payment service does not answer now."}, 503, headers=_UNSTORED)

    def _own_order(self, order_id: object) -> str:
        """Whose order it is, a shop must know before it passes anything on: here, that it was placed on this page."""
        if not isinstance(order_id, str) or self._heard.of(order_id) is None:
            raise HTTPException(404, "This shop has no such order.")
        return order_id

    async def _own_payment(self, order_id: str, body: dict[str, Any]) -> str:
        """Asked of the service, since a page may know the payment before the shop has heard of it on Kafka."""
        answer = await self._ask("GET", "/v1/payments", params={"order_id": order_id})
        if answer.status_code != HTTPStatus.OK:
            raise HTTPException(503, "The payment service does not answer now.")
        if body.get("payment_id") not in {payment["id"] for payment in json.loads(bytes(answer.body))["data"]}:
            raise HTTPException(404, "The order has no such payment.")
        return str(body["payment_id"])


async def _body(request: Request) -> dict[str, Any]:
    """Read a JSON object. Other sites' pages can't send that type without asking first, which nobody allows them."""
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
        raise HTTPException(400, "The body is no JSON.") from None
    return body if isinstance(body, dict) else {}


def _read(name: str) -> str:
    return files("payment_service_demo").joinpath("page", name).read_text(encoding="utf-8")
