"""What happens to every request, whatever its route: it is counted, and no error leaves as anything but a problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.http.problems import NOT_FOUND, answer_unexpected, respond
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Requests:
    """ASGI middleware around the router."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        if scope["method"] == "HEAD":
            # Routed as GET; the server below leaves the body out.
            scope = {**scope, "method": "GET"}
        try:
            if b"%" in scope["raw_path"]:
                # No path of ours needs escapes, so `/webhooks%2Fstripe` is no other way to write one.
                await respond(NOT_FOUND, "There is nothing under this address.")(scope, receive, note_status)
            else:
                await self._app(scope, receive, note_status)
        except Exception as error:  # noqa: BLE001 - a defect is logged, and told as a problem
            response = answer_unexpected(error)
            if not status:
                await response(scope, receive, note_status)
        finally:
            metrics.HTTP_REQUESTS.labels(_route(scope), str(status or "none")).inc()


def _route(scope: Scope) -> str:
    """The route's pattern, never the path: paths are without number."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else scope["path"] if "endpoint" in scope else "none"
