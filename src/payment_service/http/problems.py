"""Errors as application/problem+json (RFC 9457): one table of what can go wrong, and one sentence for each.

`type` is `urn:payment-service:` and the slug. Where our side failed, `instance` carries an id that is in the log line too.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import uuid4

import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from payment_service.config.validation_messages import say
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.flows.state.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.applications import Starlette
    from starlette.requests import Request

log = structlog.get_logger(__name__)

PROBLEM_TYPE: Final = "application/problem+json"
# The database answers again in a second, or its failover takes as long as it takes.
RETRY_AFTER_S: Final = 1


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of problem."""

    slug: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The URI of RFC 9457."""
        return f"urn:payment-service:{self.slug}"


BAD_REQUEST: Final = Kind("bad_request", 400, "The request can't be read")
NOT_SIGNED: Final = Kind("not_signed", 400, "The delivery is not signed as it must be")
NOT_AN_EVENT: Final = Kind("not_an_event", 400, "The delivery is no event")
UNAUTHENTICATED: Final = Kind("unauthenticated", 401, "No valid API key")
FORBIDDEN: Final = Kind("forbidden", 403, "The API key lacks a scope")
NOT_FOUND: Final = Kind("not_found", 404, "Not found")
METHOD_NOT_ALLOWED: Final = Kind("method_not_allowed", 405, "Method not allowed")
NOT_ALLOWED: Final = Kind("not_allowed", 409, "Not possible in this state")
NOT_YET: Final = Kind("not_yet", 409, "Not possible yet")
IN_PROGRESS: Final = Kind("in_progress", 409, "The same request is being worked on")
KEY_MISMATCH: Final = Kind("idempotency_mismatch", 422, "The key was used for another request")
TOO_SLOW: Final = Kind("too_slow", 408, "The body took too long")
TOO_LARGE: Final = Kind("too_large", 413, "The body is too large")
UNSUPPORTED_TYPE: Final = Kind("unsupported_type", 415, "The body's type is not taken")
HEAD_TOO_LARGE: Final = Kind("head_too_large", 431, "The request's head is too large")
INVALID: Final = Kind("invalid", 422, "A parameter is not valid")
TOO_MANY: Final = Kind("too_many_requests", 429, "Too many requests")
INTERNAL: Final = Kind("internal", 500, "Something went wrong here")
UNAVAILABLE: Final = Kind("unavailable", 503, "Not available now")

KINDS: Final = (
    BAD_REQUEST,
    NOT_SIGNED,
    NOT_AN_EVENT,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    TOO_SLOW,
    NOT_ALLOWED,
    NOT_YET,
    IN_PROGRESS,
    TOO_LARGE,
    UNSUPPORTED_TYPE,
    INVALID,
    KEY_MISMATCH,
    TOO_MANY,
    HEAD_TOO_LARGE,
    INTERNAL,
    UNAVAILABLE,
)

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
# What the routers raise by status.
_BY_STATUS: Final = {
    404: (NOT_FOUND, "There is nothing under this address."),
    405: (METHOD_NOT_ALLOWED, "This address does not take this method; the header Allow names those that it takes."),
}


class Problem(Exception):
    """An error with its answer. `detail` is one sentence that says what to do and repeats nothing of the input."""

    def __init__(self, kind: Kind, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})


def _without_default(schema: dict[str, Any]) -> None:
    """It is absent, never null."""
    schema.pop("default")


class ProblemBody(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(
        description="What went wrong, for programs. More may be added: where one is unknown, go by the status.",
        examples=["urn:payment-service:not_found"],
        json_schema_extra={"x-extensible-enum": [kind.type for kind in KINDS]},
    )
    title: str = Field(description="The same for people; its wording may change.", examples=["Not found"])
    status: int = Field(description="That of the answer.", ge=400, le=599, examples=[404])
    detail: str = Field(
        description="One sentence that says what to do; its wording may change.",
        examples=["There is no payment with this id."],
    )
    instance: str | SkipJsonSchema[None] = Field(
        default=None,
        examples=["urn:uuid:2f0c9a52-0c4e-4b7b-9d53-2f5b1a7c8e10"],
        description="Where our side failed: this very error, as our logs name it. Else it is absent.",
        json_schema_extra=_without_default,
    )


class NotReadyBody(ProblemBody):
    """What is missing for the service to work."""

    model_config = ConfigDict(title="NotReady")

    ready: Literal[False]
    checks: dict[str, str] = Field(description="Each part with its state: `ok`, or a sentence.")


def render(kind: Kind, detail: str, *, error_id: str | None = None, **more: object) -> bytes:
    """Word a problem as JSON. `error_id`: the id under which it was logged."""
    problem = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        **({"instance": f"urn:uuid:{error_id}"} if error_id else {}),
        **more,
    }
    return json.dumps(problem, ensure_ascii=False).encode()


def respond(kind: Kind, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """Make the answer of a problem; `more` are members beside the standard ones."""
    return Response(render(kind, detail, **more), kind.status, dict(headers or {}), PROBLEM_TYPE)


async def _answer_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - the table below says so
    return respond(error.kind, error.detail, headers=error.headers)


async def _answer_unavailable(_request: Request, error: Exception) -> Response:
    retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else RETRY_AFTER_S
    error_id = str(uuid4())
    log.warning("request_unavailable", error=type(error.__cause__ or error).__name__, error_id=error_id)
    detail = f"This can't be done now; nothing was lost: send the same again in {retry_after_s} s."
    return respond(UNAVAILABLE, detail, headers={"Retry-After": str(retry_after_s)}, error_id=error_id)


async def _answer_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - the table below says so
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return respond(INVALID, f"{where}: {say(first)}.")


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the table below says so
    kind, detail = _BY_STATUS.get(error.status_code) or (
        Kind("http", error.status_code, HTTPStatus(error.status_code).phrase),
        "The request can't be answered as it is.",
    )
    headers = {"Allow": _methods_of(request)} if error.status_code == 405 else error.headers
    return respond(kind, detail, headers=headers)


def _methods_of(request: Request) -> str:
    """All that an address takes: the router itself names those of the first route that has its path."""
    taken = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    return ", ".join(taken)


def answer_unexpected(error: Exception) -> Response:
    """Log a defect with its traceback, and tell the client nothing but the id of the log line."""
    error_id = str(uuid4())
    log.error("request_failed", error=type(error).__name__, error_id=error_id, exc_info=error)
    return respond(INTERNAL, "This is our fault: report it with the id in `instance`.", error_id=error_id)


TABLE: Final = {
    Problem: _answer_problem,
    Unavailable: _answer_unavailable,
    RequestValidationError: _answer_invalid,
    HTTPException: _answer_http,
    **dict.fromkeys(TRANSIENT_ERRORS, _answer_unavailable),
}


def install(app: FastAPI | Starlette) -> None:
    """Answer errors by the table."""
    for error, answer in TABLE.items():
        app.add_exception_handler(error, answer)
    logging.getLogger("fastapi").setLevel(logging.WARNING)
