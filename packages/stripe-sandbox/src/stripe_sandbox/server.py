"""The HTTP server process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Middleware

from stripe_sandbox import control, errors, stripe_js
from stripe_sandbox.api import Api, Operation
from stripe_sandbox.pages import routes as pages
from stripe_sandbox.pages.site import Site, reject_cross_site_requests
from stripe_sandbox.routes import OPERATIONS
from stripe_sandbox.sandbox import Sandbox
from stripe_sandbox.state.unit_of_work import new_id
from stripe_sandbox.wire.hosts import AllowedHosts

BODY_LIMIT_BYTES = 1024 * 1024  # the largest request with every parameter has a few kB
STOP_TIMEOUT_S = 1.0  # for responses in progress at shutdown

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(sandbox: Sandbox, hosts: AllowedHosts) -> web.Application:
    middlewares = [_reject_foreign_hosts(hosts), reject_cross_site_requests]
    app = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=middlewares)
    api, site = Api(sandbox), Site(sandbox)
    app.add_routes(control.routes(sandbox))
    app.add_routes(pages.routes(site))
    app.add_routes(stripe_js.routes())
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, _served(api, operation))
    app.router.add_route("*", "/{anything:.*}", pages.fallback(site, _served(api, None)))
    return app


async def run(
    sandbox: Sandbox, host: str, port: int, ready: Callable[[int], None], allowed_hosts: Iterable[str] = ()
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` receives the bound port. Raises `OSError` if binding fails."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    journal = asyncio.create_task(sandbox.journal.run())
    await sandbox.sender.start()
    timers = asyncio.create_task(sandbox.run_timers())
    app = application(sandbox, AllowedHosts([host, *allowed_hosts]))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
    await runner.setup()
    listener = asyncio.create_task(_listen(sandbox, runner, host, port, ready))
    stopped = asyncio.create_task(stop.wait())
    try:
        ended, _ = await asyncio.wait({stopped, journal, timers, listener}, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        stopped.cancel()
        listener.cancel()
        await runner.cleanup()
        timers.cancel()
        await sandbox.sender.stop()
        sandbox.journal.stop()
        await journal
        sandbox.journal.close()


async def _listen(sandbox: Sandbox, runner: web.AppRunner, host: str, port: int, ready: Callable[[int], None]) -> None:
    """Accept connections, except during a `refuse` outage; open connections stay open."""
    site = web.TCPSite(runner, host, port)
    await site.start()
    port = runner.addresses[0][1]
    ready(port)
    while True:
        await sandbox.faults.changed.wait()
        sandbox.faults.changed.clear()
        outage = sandbox.faults.current_outage()
        if outage is not None and outage[0].kind == "refuse":
            await site.stop()
            await outage[1].end()
            site = web.TCPSite(runner, host, port)
            await site.start()


def _reject_foreign_hosts(hosts: AllowedHosts) -> Middleware:
    @web.middleware
    async def reject(request: web.Request, handler: Serve) -> web.StreamResponse:
        try:
            hosts.check(request.headers.get("Host"))
        except errors.ApiError as error:
            return web.json_response(errors.body(error.error, new_id("req_")), status=error.status)
        return await handler(request)

    return reject


def _served(api: Api, operation: Operation | None) -> Serve:
    async def serve(request: web.Request) -> web.StreamResponse:
        return await api.serve(request, operation)

    return serve
