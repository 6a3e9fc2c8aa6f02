"""The API's description: OpenAPI of all routes, and a page of it that needs no script from elsewhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from payment_service.http.payments import problem
from payment_service.http.problems import ProblemBody

if TYPE_CHECKING:
    from fastapi import FastAPI

TITLE: Final = "payment-service"
_DESCRIPTION: Final = (
    "Money for orders. Errors are `application/problem+json`; amounts are decimal text with the currency's decimals; "
    "lists are pages, read on with `cursor`."
)
_HEADER: Final = {
    "name": "Stripe-Signature",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "t=…,v1=…, at most 300 s from our clock.",
}
# What plain routes answer; FastAPI describes its own.
_PLAIN: Final[dict[str, Any]] = {
    "/webhooks/stripe": {
        "post": {
            "summary": "Take a signed event of Stripe",
            "tags": ["webhooks"],
            "parameters": [_HEADER],
            "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
            "responses": {
                "200": {"description": "The event is durable."},
                "400": problem("The signature or the event is not valid."),
                "408": problem("The body was not complete in time."),
                "413": problem("The body is too large."),
                "415": problem("The body is not plain application/json."),
                "503": problem("The event can't be stored now; send it again."),
            },
        }
    },
    "/health": {
        "get": {"summary": "The process lives", "tags": ["health"], "responses": {"200": {"description": "It does."}}}
    },
    "/ready": {
        "get": {
            "summary": "The service can work",
            "tags": ["health"],
            "responses": {
                "200": {"description": "The schema fits and the database answers."},
                "503": problem("It can't; `checks` says why."),
            },
        }
    },
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Give the OpenAPI 3.1 of an app, its plain routes included."""
    description = get_openapi(
        title=TITLE, version=app.version, description=_DESCRIPTION, routes=app.routes, openapi_version="3.1.0"
    )
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    schemas[ProblemBody.__name__] = ProblemBody.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    description["paths"] = {**description["paths"], **_PLAIN}
    return description


def page(description: dict[str, Any]) -> str:
    """Render a description as one HTML page."""
    sections = "".join(
        _operation(method, path, operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(TITLE)}</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "code{background:#f2f2f2;padding:.1rem .3rem}dt{font-weight:600}</style>"
        f"<h1>{escape(TITLE)}</h1><p>{escape(_DESCRIPTION)}</p>"
        '<p>As OpenAPI 3.1: <a href="/openapi.json">/openapi.json</a></p>'
        f"{sections}</html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<dt><code>{escape(p['name'])}</code> ({escape(p['in'])}{', required' if p.get('required') else ''})</dt>"
        f"<dd>{escape(p.get('description', ''))}</dd>"
        for p in operation.get("parameters", [])
    )
    responses = "".join(
        f"<dt>{escape(status)}</dt><dd>{escape(response['description'])}</dd>"
        for status, response in sorted(operation["responses"].items())
    )
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('summary', ''))}</p><dl>{parameters}</dl><h3>Answers</h3><dl>{responses}</dl>"
    )
