"""All routes: the public app (webhooks, `/v1`, health) and the operations app (metrics, API docs, health)."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from payment_service.flows.requests.approvals import Approvals
from payment_service.flows.requests.cancel import Cancellations
from payment_service.flows.requests.capture import Captures
from payment_service.flows.requests.checkout import Checkouts
from payment_service.flows.requests.open_payment import Payments
from payment_service.http import docs, problems
from payment_service.http.auth import Authenticator, authenticator_for
from payment_service.http.captures import captures_router
from payment_service.http.checkout import checkout_router
from payment_service.http.health import CheckReadiness, health_routes
from payment_service.http.list_routes import list_router
from payment_service.http.middleware import RequestMiddleware
from payment_service.http.payment_list_routes import payment_list_router
from payment_service.http.payments import payments_router
from payment_service.http.reconciliations import reconciliations_router
from payment_service.http.refunds import refunds_router
from payment_service.http.responses import TITLE
from payment_service.http.webhooks import Quarantine, StoreEvent, WebhookEndpoint, refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from payment_service.config.config import Config
    from payment_service.db.pool import Pool
    from payment_service.flows.state.context import Context
    from payment_service.provider.port import WebhookReceiver

# FastAPI would export the text of errors, which may be secret. The service has its own spans and metrics (telemetry/).
_NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def build_app(
    *,
    config: Config,
    context: Context,
    reads: Pool,
    receivers: Mapping[str, WebhookReceiver],
    store_event: StoreEvent,
    quarantine: Quarantine,
    readiness: CheckReadiness,
    authenticator: Authenticator | None = None,
) -> FastAPI:
    """Build the app of SERVICE_PORT. It has no docs and no metrics, because this port may face the internet.

    `reads` serves GET requests, so that they never take connections from webhooks.
    """
    endpoints = {
        f"/webhooks/{name}": WebhookEndpoint(
            name=name,
            receiver=one,
            body_limit_bytes=config.webhook_body_limit_bytes,
            store_event=store_event,
            quarantine=quarantine,
            now_s=lambda: int(context.now().timestamp()),
        )
        for name, one in receivers.items()
    }
    app = FastAPI(
        title=TITLE,
        version=version("payment-service"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # the function's name, which generated clients use
        telemetry=_NO_TELEMETRY,
        redirect_slashes=False,  # a webhook that is answered with a redirect counts as a failed delivery
        routes=[
            *(Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items()),
            Route("/webhooks/{provider}", refuse_unknown, methods=["POST"]),
            *health_routes(readiness),
        ],
        middleware=[
            Middleware(RequestMiddleware),
            # Rate limits and audit rows need the client's address. Only proxies in TRUSTED_PROXIES may set it.
            Middleware(ProxyHeadersMiddleware, trusted_hosts=list(config.trusted_proxies)),
        ],
    )
    authenticator = authenticator or authenticator_for(context.pool)
    app.include_router(payments_router(reads, authenticator))
    app.include_router(payment_list_router(reads, authenticator))
    app.include_router(refunds_router(reads, authenticator, Approvals(context)))
    app.include_router(list_router(reads, authenticator))
    app.include_router(reconciliations_router(reads, authenticator))
    app.include_router(captures_router(authenticator, Captures(context), Cancellations(context)))
    checkouts = Checkouts(context, rate_per_s=config.provider_rate_per_second)
    app.include_router(
        checkout_router(authenticator, checkouts, Payments(context, expires_after=config.payment_expires_after))
    )
    problems.install(app)
    return app


def build_operations_app(*, readiness: CheckReadiness, openapi_of: FastAPI) -> Starlette:
    """Build the app of METRICS_PORT, for operators only. `openapi_of` is the app to describe."""

    @cache
    def describe() -> dict[str, Any]:
        # Imported and made when somebody asks: it takes a fifth of a second and 5 MB.
        from payment_service.http import openapi  # noqa: PLC0415

        return openapi.describe(openapi_of)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    # Not a coroutine, so that it runs in a thread.
    def openapi_json(_request: Request) -> Response:
        return JSONResponse(describe())

    app = Starlette(
        routes=[
            *health_routes(readiness),
            Route("/metrics", metrics),
            Route("/openapi.json", openapi_json),
            *docs.ROUTES,
        ],
        middleware=[Middleware(RequestMiddleware)],
    )
    app.router.redirect_slashes = False
    problems.install(app)
    return app
