"""The API's description, OpenAPI 3.1: what FastAPI knows of the routes, the plain routes, and an example of everything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from payment_service.http import problems
from payment_service.http.answers import ALWAYS, PROBLEM, RETRY_AFTER, SHARED, WEBHOOK, problem
from payment_service.http.examples import ANSWERS, REQUESTS
from payment_service.http.problems import NotReadyBody, ProblemBody
from payment_service.http.webhooks import NO_SUCH_PROVIDER

if TYPE_CHECKING:
    from fastapi import FastAPI

TITLE: Final = "payment-service"
ABOUT: Final = (
    "Money for orders. Every error is `application/problem+json`: go by its `type`. Amounts are decimal text with the "
    "currency's decimals, times are RFC 3339 in UTC, lists are pages that are read on with `cursor`. Changes need an "
    "`Idempotency-Key`: the same key and body have the same answer, and are done once. Within `/v1` fields, types of "
    "problems, statuses, kinds of entries and optional parameters may be added: ignore what you don't know. Nothing that is here goes or "
    "looks otherwise. `docs/api.md` tells it with examples."
)
_NOT_READY: Final = "NotReady"
_TAGS: Final = [
    {"name": "payments", "description": "What became of orders, and what is held: capture or cancel it."},
    {"name": "refunds", "description": "Money given back."},
    {"name": "checkout", "description": "For the shop's own server, which knows whose order it is."},
    {"name": "webhooks", "description": "What providers tell."},
    {"name": "health", "description": "For those who run it; they need no key."},
]
_SIGNATURE: Final = {
    "name": "Stripe-Signature",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "maxLength": 4096, "pattern": "^([a-z0-9_]+=[^,]*)(,[a-z0-9_]+=[^,]*)*$"},
    "description": "`t=…,v1=…`: HMAC-SHA256 over time and body under a webhook signing secret, at most 300 s from our clock. "
    "Up to eight `v1`, while a secret is rotated (https://docs.stripe.com/webhooks#verify-manually).",
    "example": "t=1798207201,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
}
_PROVIDER: Final = {
    "name": "provider",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,31}$"},
    "description": "The provider's name.",
    "example": "acme",
}
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "An event of Stripe (https://docs.stripe.com/api/events/object). Types that are not applied are stored.",
    "required": ["id", "type", "created", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,255}$"},
        "type": {"type": "string", "pattern": "^[A-Za-z0-9_.\\[\\]-]{1,255}$"},
        "created": {"type": "integer", "minimum": 1_000_000_000, "maximum": 9_999_999_999},
        "livemode": {"type": "boolean"},
        "data": {"type": "object", "required": ["object"], "properties": {"object": {"type": "object"}}},
    },
}
_EVENT_EXAMPLE: Final = {
    "id": "evt_3SxYz1",
    "object": "event",
    "type": "payment_intent.succeeded",
    "created": 1_798_207_201,
    "livemode": False,
    "data": {"object": {"id": "pi_3SxYz1", "object": "payment_intent", "status": "succeeded"}},
}


def _answered(description: str, **properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_CHECKS: Final = {
    "type": "object",
    "description": "Each part with its state: `ok`, or a sentence. Broker and provider are told, not judged.",
    "additionalProperties": {"type": "string"},
}
_MISSING: Final = "The service can't work now; `checks` says what is missing."
# What plain routes answer; FastAPI describes its own.
_PLAIN: Final[dict[str, Any]] = {
    "/webhooks/stripe": {
        "post": {
            "tags": ["webhooks"],
            "summary": "Take a signed event of Stripe",
            "description": "Stripe calls it. The same event may come any number of times. At most 262,144 bytes "
            "(`WEBHOOK_BODY_LIMIT_BYTES`).",
            "operationId": "receive_stripe_event",
            "parameters": [_SIGNATURE],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _EVENT, "example": _EVENT_EXAMPLE}},
            },
            "responses": {200: _answered("The event is durable.", received={"const": True}), **WEBHOOK},
        }
    },
    "/webhooks/{provider}": {
        "post": {
            "tags": ["webhooks"],
            "summary": "Take a signed event of another provider",
            "description": "Each provider that sends webhooks has an address of its own, under its name in `PROVIDERS`. How it signs, and "
            "what it sends, is its own business; limits and answers are those of Stripe's.",
            "operationId": "receive_provider_event",
            "parameters": [_PROVIDER],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object"}, "example": {"id": "event-1"}}},
            },
            "responses": {
                200: _answered("The event is durable.", received={"const": True}),
                **WEBHOOK,
                404: problem("No such provider runs here.", (problems.NOT_FOUND, NO_SUCH_PROVIDER)),
            },
        }
    },
    "/health": {
        "get": {
            "tags": ["health"],
            "summary": "The process lives",
            "operationId": "read_health",
            "responses": {200: _answered("It does.", status={"const": "ok"}), **ALWAYS},
        }
    },
    "/ready": {
        "get": {
            "tags": ["health"],
            "summary": "The service can work",
            "operationId": "read_readiness",
            "responses": {
                200: _answered("The schema fits and the database answers.", ready={"const": True}, checks=_CHECKS),
                **ALWAYS,
                503: problem(
                    "It can't; `checks` says why.",
                    (problems.UNAVAILABLE, _MISSING),
                    headers=RETRY_AFTER,
                    schema=_NOT_READY,
                    ready=False,
                    checks={"database": "does not answer", "broker": "ok"},
                ),
            },
        }
    },
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Give the OpenAPI 3.1 of an app, its plain routes included."""
    description = get_openapi(
        title=TITLE,
        version=app.version,
        openapi_version="3.1.0",
        summary="Takes money for the orders of a store, and tells what became of it.",
        description=ABOUT,
        routes=app.routes,
        tags=_TAGS,
        servers=[{"url": "http://127.0.0.1:8082", "description": "SERVICE_PORT of a service on this machine."}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = description["components"]["schemas"]
    schemas[PROBLEM], schemas[_NOT_READY] = ProblemBody.model_json_schema(), NotReadyBody.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    description["components"]["responses"] = SHARED
    description["paths"] |= _PLAIN
    for path in description["paths"].values():
        for operation in path.values():
            _complete(operation, schemas)
    return _named_by_title(description)


def _named_by_title(description: dict[str, Any]) -> dict[str, Any]:
    """FastAPI makes `Page_Payment_` of a generic model; clients are to have a PaymentPage."""
    schemas = description["components"]["schemas"]
    description["components"]["schemas"] = {schema["title"]: schema for schema in schemas.values()}
    text = json.dumps(description)
    for name, schema in schemas.items():
        text = text.replace(f'"#/components/schemas/{name}"', f'"#/components/schemas/{schema["title"]}"')
    named: dict[str, Any] = json.loads(text)
    return named


def _complete(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    name = operation["operationId"]
    answers = {str(status): _shared(answer) for status, answer in operation["responses"].items()}
    operation["responses"] = dict(sorted(answers.items()))
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _never_null(parameter["schema"])
    if name in REQUESTS:
        content = operation["requestBody"]["content"]["application/json"]
        body = content["schema"]
        schemas[body["title"]] = body
        content |= {"schema": {"$ref": f"#/components/schemas/{body['title']}"}, "example": REQUESTS[name]}
    done = next(answer for status, answer in operation["responses"].items() if status < "300")
    done["content"]["application/json"]["example"] = ANSWERS[name]


def _shared(answer: dict[str, Any]) -> dict[str, Any]:
    for name, one in SHARED.items():
        if answer == one:
            return {"$ref": f"#/components/responses/{name}"}
    return answer


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is absent or a value; FastAPI describes what Python makes of its absence."""
    values = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**values[0], **rest} if len(values) == 1 else schema
