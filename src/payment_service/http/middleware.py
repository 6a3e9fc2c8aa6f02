"""Middleware around all routes: request metrics, and a problem response for every defect."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from payment_service.http.problems import NOT_FOUND, respond, respond_to_defect
from payment_service.telemetry import metrics, traces

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TRACED: Final = ("/v1/", "/webhooks/")


class RequestMiddleware:
    """Counts requests and turns unexpected errors into problems."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, in a span while traces are on."""
        span = _begin_span(scope)
        with traces.current(span):
            await self._handle(scope, receive, send, span)

    async def _handle(self, scope: Scope, receive: Receive, send: Send, span: traces.Span | None) -> None:
        status = 0
        began_s = time.perf_counter()

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if span is not None:
                    message["headers"] = [*message["headers"], (b"traceresponse", span.traceparent.encode())]
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
            metrics.count_request(_route(scope), scope["method"], status, time.perf_counter() - began_s)
            if span is not None:
                _describe(span, scope, status)


def _begin_span(scope: Scope) -> traces.Span | None:
    """Begin the span of a request for work; health checks and scrapes have none."""
    if not traces.on() or not scope["path"].startswith(_TRACED):
        return None
    parent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
    return traces.begin(scope["method"], kind="server", parent=parent)


def _describe(span: traces.Span, scope: Scope, status: int) -> None:
    route = _route(scope)
    span.rename(f"{scope['method']} {route}")
    span.set({"http.request.method": scope["method"], "http.route": route, "http.response.status_code": status})
    if status >= 500:
        span.fail(str(status))


def _route(scope: Scope) -> str:
    """Return the route's pattern. The path itself would make the metric's labels unbounded."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else scope["path"] if "endpoint" in scope else metrics.NO_ROUTE
