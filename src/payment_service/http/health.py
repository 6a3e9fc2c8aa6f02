"""Is the process alive (`/health`), and can it do its work (`/ready`)?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

from payment_service.http.problems import UNAVAILABLE, respond

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class Readiness:
    """`ready`: the schema fits and the database answers. `checks`: name and state of every part, `ok` or a sentence."""

    ready: bool
    checks: dict[str, str]


CheckReadiness = Callable[[], Awaitable[Readiness]]


def health_routes(readiness: CheckReadiness) -> list[Route]:
    """Give the two routes; both are served on both ports, whatever roles run."""

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_request: Request) -> Response:
        found = await readiness()
        if found.ready:
            return JSONResponse({"ready": True, "checks": found.checks})
        detail = "The service can't work now; `checks` says what is missing."
        return respond(UNAVAILABLE, detail, headers={"Retry-After": "1"}, ready=False, checks=found.checks)

    return [Route("/health", health, methods=["GET"]), Route("/ready", ready, methods=["GET"])]
