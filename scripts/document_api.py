"""Write `openapi.json`, the description of the HTTP API, from the routes and their models. A test compares."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from fastapi import FastAPI
from pydantic import SecretStr

from payment_service.config.config import Config
from payment_service.flows.state.context import Context
from payment_service.http.app import build_app
from payment_service.http.openapi import describe
from payment_service.provider.stripe.deliveries import StripeDeliveries

ROOT: Final = Path(__file__).resolve().parents[1]
OPENAPI: Final = ROOT / "openapi.json"

_CONFIG: Final = Config(
    kafka_brokers="broker:9092",
    db_dsn=SecretStr("dbname=payments"),
    stripe_secret_key=SecretStr("sk_test_none"),
    stripe_webhook_secret=(SecretStr("whsec_none"),),
)


def public_app() -> FastAPI:
    """Return the app of SERVICE_PORT for inspection. It opens no connections."""

    def unused(*_: object) -> Any:
        raise NotImplementedError

    nothing = cast("Any", None)
    return build_app(
        config=_CONFIG,
        context=Context(pool=nothing, providers=nothing, deployment="default", now=lambda: datetime.now(UTC)),
        reads=nothing,
        receivers={"stripe": StripeDeliveries.of(_CONFIG)},
        store_event=unused,
        quarantine=unused,
        readiness=unused,
    )


def described() -> dict[str, Any]:
    """Return the OpenAPI description of the service."""
    return describe(public_app())


def openapi() -> str:
    """Return the text of `openapi.json`."""
    return json.dumps(described(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OPENAPI.write_text(openapi())
