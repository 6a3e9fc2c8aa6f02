"""Middleware around all routes: request metrics, and a problem response for every defect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.http.problems import NOT_FOUND, respond, respond_to_defect
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RequestMiddleware:
    """Counts requests and turns unexpected errors into problems."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        if scope["method"] == "HEAD":
            # The router handles HEAD as GET; the server omits the body.
            scope = {**scope, "method": "GET"}
        try:
            if b"%" in scope["raw_path"]:
                # No path needs escapes, so `/webhooks%2Fstripe` must not reach a route.
                await respond(NOT_FOUND, "No route has this path.")(scope, receive, note_status)
            else:
                await self._app(scope, receive, note_status)
        except Exception as error:  # noqa: BLE001 - a defect is logged, and told as a problem
            response = respond_to_defect(error)
            if not status:
                await response(scope, receive, note_status)
        finally:
            metrics.HTTP_REQUESTS.labels(_route(scope), str(status or "none")).inc()


def _route(scope: Scope) -> str:
    """Return the route's pattern. The path itself would make the metric's labels unbounded."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else scope["path"] if "endpoint" in scope else "none"
