"""Every route of the API on one screen, and the process that serves them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from aiohttp import web

from stripe_sandbox import charges, control, endpoints, events, intents, payment_methods, schemas
from stripe_sandbox.api import Api, Operation
from stripe_sandbox.sandbox import Sandbox

BODY_LIMIT_BYTES = 1024 * 1024  # the largest request with every parameter is a few kB
STOP_TIMEOUT_S = 1.0  # for answers on their way when a stop is asked for

INTENT = "/v1/payment_intents/{id}"

OPERATIONS = (
    Operation("POST", "/v1/payment_intents", intents.create, schemas.CREATE_INTENT),
    Operation("GET", "/v1/payment_intents", intents.list_all, schemas.LIST_INTENTS),
    Operation("GET", INTENT, intents.retrieve, schemas.RETRIEVE_INTENT),
    Operation("POST", INTENT, intents.update, schemas.UPDATE_INTENT),
    Operation("POST", INTENT + "/confirm", intents.confirm, schemas.CONFIRM_INTENT),
    Operation("POST", INTENT + "/capture", intents.capture, schemas.CAPTURE_INTENT),
    Operation("POST", INTENT + "/cancel", intents.cancel, schemas.CANCEL_INTENT),
    Operation("GET", "/v1/charges", charges.list_all, schemas.LIST_CHARGES),
    Operation("GET", "/v1/charges/{id}", charges.retrieve, schemas.RETRIEVE),
    Operation("POST", "/v1/payment_methods", payment_methods.create, schemas.CREATE_METHOD),
    Operation("GET", "/v1/payment_methods/{id}", payment_methods.retrieve, schemas.RETRIEVE),
    Operation("GET", "/v1/events", events.list_all, schemas.LIST_EVENTS),
    Operation("GET", "/v1/events/{id}", events.retrieve, schemas.RETRIEVE),
    Operation("GET", "/v1/webhook_endpoints", endpoints.list_all, schemas.LIST_ENDPOINTS),
    Operation("GET", "/v1/webhook_endpoints/{id}", endpoints.retrieve, schemas.RETRIEVE),
    Operation("GET", "/v1/balance", endpoints.balance, schemas.RETRIEVE),
)


def application(sandbox: Sandbox) -> web.Application:
    app = web.Application(client_max_size=BODY_LIMIT_BYTES)
    api = Api(sandbox)
    app.add_routes(control.routes(sandbox))
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, _served(api, operation))
    app.router.add_route("*", "/{anything:.*}", _served(api, None))
    return app


async def run(sandbox: Sandbox, host: str, port: int, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is told the port that was bound."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    journal = asyncio.create_task(sandbox.journal.run())
    await sandbox.sender.start()
    runner = web.AppRunner(application(sandbox), access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    ready(runner.addresses[0][1])
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({stopped, journal}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        await runner.cleanup()
        await sandbox.sender.stop()
        sandbox.journal.stop()
        await journal
        sandbox.journal.close()


def _served(api: Api, operation: Operation | None) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        return await api.serve(request, operation)

    return serve
