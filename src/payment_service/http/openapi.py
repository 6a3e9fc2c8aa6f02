"""The API's OpenAPI 3.1 description: FastAPI's part, the plain routes, and an example of every body."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from payment_service.db.api_keys import Scope
from payment_service.http import problems
from payment_service.http.csv_pages import CSV
from payment_service.http.examples import CSV_RESPONSES, REQUESTS, RESPONSES
from payment_service.http.problems import NotReadyBody, ProblemBody
from payment_service.http.responses import ALWAYS, PROBLEM, RETRY_AFTER, SHARED, TITLE, WEBHOOK, problem
from payment_service.http.webhooks import NO_SUCH_PROVIDER
from payment_service.provider.plugins import installed

if TYPE_CHECKING:
    from fastapi import FastAPI

ABOUT: Final = (
    "Payments for orders. Every error is `application/problem+json`; decide by its `type`. Amounts are decimal text with the "
    "currency's number of decimals. Times are RFC 3339 in UTC. Lists are paged by `cursor`. Changes need an "
    "`Idempotency-Key`: the same key and body are executed once and get the same response. Within `/v1`, fields, problem "
    "types, statuses, entry kinds and optional parameters may be added: ignore those you do not know. Existing fields are never removed or "
    "changed. See `docs/api.md` for examples."
)
_NOT_READY: Final = "NotReady"
_CONTACT: Final = {"name": "The maintainers of payment-service"}
_TAGS: Final = [
    {"name": "payments", "description": "Read payments, and capture or cancel them."},
    {"name": "refunds", "description": "Make and read refunds."},
    {"name": "disputes", "description": "Read disputes."},
    {"name": "audit", "description": "Read who changed what, and why."},
    {"name": "checkout", "description": "For the shop's own server, which can check who owns an order."},
    {"name": "reconciliations", "description": "Comparisons of the provider's objects with the database."},
    {"name": "webhooks", "description": "Events from providers."},
    {"name": "health", "description": "For operators; no key needed."},
]
_SIGNATURE: Final = {
    "name": "Stripe-Signature",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "maxLength": 4096, "pattern": "^([a-z0-9_]+=[^,]*)(,[a-z0-9_]+=[^,]*)*$"},
    "description": "`t=…,v1=…`: HMAC-SHA256 of time and body under a webhook signing secret. The time must be within 300 s of our clock. "
    "During a rotation, up to eight `v1` are accepted (https://docs.stripe.com/webhooks#verify-manually).",
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
    "description": "An event of Stripe (https://docs.stripe.com/api/events/object). Types without effect are stored too.",
    "required": ["id", "type", "created", "livemode", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,255}$", "description": "Stripe's id of the event."},
        "object": {"const": "event", "description": "Stripe's name of this kind of object."},
        "type": {
            "type": "string",
            "pattern": "^[A-Za-z0-9_.\\[\\]-]{1,255}$",
            "description": "What happened, such as `payment_intent.succeeded`.",
        },
        "created": {
            "type": "integer",
            "minimum": 1_000_000_000,
            "maximum": 9_999_999_999,
            "description": "Time of the event in seconds since 1970.",
        },
        "livemode": {"type": "boolean", "description": "False: the event is of a sandbox or of test mode."},
        "data": {
            "type": "object",
            "description": "The object that the event is about.",
            "required": ["object"],
            "properties": {
                "object": {
                    "type": "object",
                    "description": "The object, as the API version of the endpoint renders it.",
                }
            },
        },
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


def _always(value: object, description: str) -> dict[str, Any]:
    """Describe a property that has one value."""
    return {"const": value, "description": description}


def _answered(description: str, **properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_CHECKS: Final = {
    "type": "object",
    "description": "State of each part: `ok`, or a sentence. Broker and provider do not affect readiness.",
    "additionalProperties": {"type": "string"},
}
_RECEIVED: Final = _always(True, "Always true: the event is stored.")  # noqa: FBT003 - the value itself
_MISSING: Final = "The service is not ready: `checks` lists the reasons."
# FastAPI cannot describe the responses of plain routes.
_PLAIN: Final[dict[str, Any]] = {
    "/webhooks/stripe": {
        "post": {
            "tags": ["webhooks"],
            "summary": "Receive a signed event from Stripe",
            "description": "Stripe calls this route. It may send the same event any number of times. At most 262,144 bytes "
            "(`WEBHOOK_BODY_LIMIT_BYTES`).",
            "operationId": "receive_stripe_event",
            "parameters": [_SIGNATURE],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _EVENT, "example": _EVENT_EXAMPLE}},
            },
            "responses": {200: _answered("The event is durable.", received=_RECEIVED), **WEBHOOK},
        }
    },
    "/webhooks/{provider}": {
        "post": {
            "tags": ["webhooks"],
            "summary": "Receive a signed event from another provider",
            "description": "Each provider that sends webhooks has its own route, with its name from `PROVIDERS`. The provider defines its "
            "signature and its events. Limits and responses are the same as for Stripe.",
            "operationId": "receive_provider_event",
            "parameters": [_PROVIDER],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object"}, "example": {"id": "event-1"}}},
            },
            "responses": {
                200: _answered("The event is durable.", received=_RECEIVED),
                **WEBHOOK,
                404: problem("No such provider is configured.", (problems.NOT_FOUND, NO_SUCH_PROVIDER)),
            },
        }
    },
    "/health": {
        "get": {
            "tags": ["health"],
            "summary": "Liveness of the process",
            "operationId": "read_health",
            "description": "Answers as long as the process runs. It asks neither the database nor the broker.",
            "responses": {
                200: _answered("The process is alive.", status=_always("ok", "Always `ok`.")),
                **ALWAYS,
            },
        }
    },
    "/ready": {
        "get": {
            "tags": ["health"],
            "summary": "Readiness of the service",
            "description": "Asks the database. A load balancer sends requests only while the answer is 200.",
            "operationId": "read_readiness",
            "responses": {
                200: _answered(
                    "The schema matches this version and the database answers.",
                    ready=_always(True, "Always true in this response."),  # noqa: FBT003 - the value itself
                    checks=_CHECKS,
                ),
                **ALWAYS,
                503: problem(
                    "The service is not ready. `checks` lists the reasons.",
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
    """Return the OpenAPI 3.1 description of an app, including its plain routes."""
    description = get_openapi(
        title=TITLE,
        version=app.version,
        openapi_version="3.1.0",
        summary="Takes payments for a store's orders and publishes their outcome.",
        description=ABOUT,
        routes=app.routes,
        tags=_TAGS,
        servers=[{"url": "http://127.0.0.1:8082", "description": "SERVICE_PORT of a local service."}],
        contact=_CONTACT,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = description["components"]["schemas"]
    schemas[PROBLEM], schemas[_NOT_READY] = ProblemBody.model_json_schema(), NotReadyBody.model_json_schema()
    _describe_pay(schemas)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    description["components"]["responses"] = SHARED
    description["paths"] |= _PLAIN
    for path in description["paths"].values():
        for operation in path.values():
            _complete(operation, schemas)
    return _named_by_title(description)


def _describe_pay(schemas: dict[str, Any]) -> None:
    """Add the forms of `Checkout.pay` that the installed providers bring."""
    for plugin in installed().values():
        if plugin.pay is not None:
            model = plugin.pay.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= model.pop("$defs", {})
            schemas[model["title"]] = model
            schemas["Checkout"]["properties"]["pay"]["anyOf"].insert(
                0, {"$ref": f"#/components/schemas/{model['title']}"}
            )


def _named_by_title(description: dict[str, Any]) -> dict[str, Any]:
    """Rename schemas by their titles: FastAPI names a generic model `Page_Payment_`, and clients should get
    `PaymentPage`.
    """
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
    _name_scope(operation)
    done = next(answer for status, answer in operation["responses"].items() if status < "300")
    done["content"]["application/json"]["example"] = RESPONSES[name]
    if CSV in done["content"]:
        done["content"][CSV]["example"] = CSV_RESPONSES[name]


def _name_scope(operation: dict[str, Any]) -> None:
    """State the scope of the key in words and as `x-scope`. Tools accept scopes in `security` for OAuth 2 only."""
    security = operation.setdefault("security", [])
    if not security:
        return
    [scope] = security[0].pop("api_key")
    security[0]["api_key"] = []
    operation["x-scope"] = scope
    more = "" if scope == Scope.ADMIN else " or `admin`"
    sentence = f"The key needs the scope `{scope}`{more}."
    operation["description"] = f"{operation.get('description', '').strip()}\n\n{sentence}".strip()


def _shared(answer: dict[str, Any]) -> dict[str, Any]:
    for name, one in SHARED.items():
        if answer == one:
            return {"$ref": f"#/components/responses/{name}"}
    return answer


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove null from a parameter's schema: a parameter is absent or has a value."""
    values = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**values[0], **rest} if len(values) == 1 else schema
