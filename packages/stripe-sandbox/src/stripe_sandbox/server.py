"""The HTTP server process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from aiohttp import web

from stripe_sandbox import control, stripe_js
from stripe_sandbox.api import Api, Operation
from stripe_sandbox.pages import routes as pages
from stripe_sandbox.pages.site import Site, reject_cross_site_requests
from stripe_sandbox.routes import OPERATIONS
from stripe_sandbox.sandbox import Sandbox

BODY_LIMIT_BYTES = 1024 * 1024  # the largest request with every parameter has a few kB
STOP_TIMEOUT_S = 1.0  # for responses in progress at shutdown


def application(sandbox: Sandbox) -> web.Application:
    app = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[reject_cross_site_requests])
    api, site = Api(sandbox), Site(sandbox)
    app.add_routes(control.routes(sandbox))
    app.add_routes(pages.routes(site))
    app.add_routes(stripe_js.routes())
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, _served(api, operation))
    app.router.add_route("*", "/{anything:.*}", pages.fallback(site, _served(api, None)))
    return app


async def run(sandbox: Sandbox, host: str, port: int, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` receives the bound port. Raises `OSError` if binding fails."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    journal = asyncio.create_task(sandbox.journal.run())
    await sandbox.sender.start()
    timers = asyncio.create_task(sandbox.run_timers())
    runner = web.AppRunner(application(sandbox), access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
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


def _served(api: Api, operation: Operation | None) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        return await api.serve(request, operation)

    return serve
