"""Liveness (`/health`) and readiness (`/ready`)."""

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
    """`ready`: the schema matches this version and the database answers. `checks`: each part with `ok` or a sentence."""

    ready: bool
    checks: dict[str, str]


CheckReadiness = Callable[[], Awaitable[Readiness]]


def health_routes(readiness: CheckReadiness) -> list[Route]:
    """Return both routes. Both ports serve them, in every role."""

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_request: Request) -> Response:
        found = await readiness()
        if found.ready:
            return JSONResponse({"ready": True, "checks": found.checks})
        detail = "The service is not ready: `checks` lists the reasons."
        return respond(UNAVAILABLE, detail, headers={"Retry-After": "1"}, ready=False, checks=found.checks)

    return [Route("/health", health, methods=["GET"]), Route("/ready", ready, methods=["GET"])]
