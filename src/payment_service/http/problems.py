"""Errors as application/problem+json (RFC 9457): all problem types, and the exception handlers.

`type` is `urn:payment-service:` and the slug. For failures of the service, `instance` carries the id of the log line.
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

from payment_service.config.validation_messages import validation_message
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.flows.state.errors import Unavailable
from payment_service.telemetry.errors import describe_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.applications import Starlette
    from starlette.requests import Request

log = structlog.get_logger(__name__)

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
# A database restart takes about a second; a failover takes longer, and the client then retries again.
RETRY_AFTER_S: Final = 1


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A problem type of RFC 9457."""

    slug: str
    status: int
    title: str

    @property
    def uri(self) -> str:
        """Return the type's URI."""
        return f"urn:payment-service:{self.slug}"


BAD_REQUEST: Final = ProblemType("bad_request", 400, "The request cannot be read")
NOT_SIGNED: Final = ProblemType("not_signed", 400, "The signature is not valid")
NOT_AN_EVENT: Final = ProblemType("not_an_event", 400, "The body is not an event")
UNAUTHENTICATED: Final = ProblemType("unauthenticated", 401, "No valid API key")
FORBIDDEN: Final = ProblemType("forbidden", 403, "The API key does not allow this")
NOT_FOUND: Final = ProblemType("not_found", 404, "Not found")
METHOD_NOT_ALLOWED: Final = ProblemType("method_not_allowed", 405, "Method not allowed")
NOT_ALLOWED: Final = ProblemType("not_allowed", 409, "Not possible in this state")
NEEDS_APPROVAL: Final = ProblemType("needs_approval", 409, "A second person must approve")
NOT_YET: Final = ProblemType("not_yet", 409, "Not possible yet")
IN_PROGRESS: Final = ProblemType("in_progress", 409, "The same request is in progress")
KEY_MISMATCH: Final = ProblemType("idempotency_mismatch", 422, "The key was used for a different request")
TOO_SLOW: Final = ProblemType("too_slow", 408, "The body took too long")
TOO_LARGE: Final = ProblemType("too_large", 413, "The body is too large")
UNSUPPORTED_TYPE: Final = ProblemType("unsupported_type", 415, "The content type is not supported")
HEAD_TOO_LARGE: Final = ProblemType("head_too_large", 431, "The request head is too large")
INVALID: Final = ProblemType("invalid", 422, "A parameter is not valid")
TOO_MANY: Final = ProblemType("too_many_requests", 429, "Too many requests")
INTERNAL: Final = ProblemType("internal", 500, "Internal error")
UNAVAILABLE: Final = ProblemType("unavailable", 503, "Temporarily unavailable")

PROBLEM_TYPES: Final = (
    BAD_REQUEST,
    NOT_SIGNED,
    NOT_AN_EVENT,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    TOO_SLOW,
    NOT_ALLOWED,
    NEEDS_APPROVAL,
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
# Problems for the statuses that the routers raise.
_BY_STATUS: Final = {
    404: (NOT_FOUND, "No route has this path."),
    405: (METHOD_NOT_ALLOWED, "This path does not support the method: the header Allow lists the supported ones."),
}


class Problem(Exception):
    """An error with its response. `detail` is one sentence that says what to do and repeats none of the input."""

    def __init__(self, problem_type: ProblemType, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.type = problem_type
        self.detail = detail
        self.headers = dict(headers or {})


def payment_not_found() -> Problem:
    """Return the problem for an unknown payment id."""
    return Problem(NOT_FOUND, "There is no payment with this id.")


def _without_default(schema: dict[str, Any]) -> None:
    """Mark a member as absent rather than null."""
    schema.pop("default")


class ProblemBody(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(
        description="The problem type, for programs. New types may be added: for an unknown type, decide by the status.",
        examples=["urn:payment-service:not_found"],
        json_schema_extra={"x-extensible-enum": [problem_type.uri for problem_type in PROBLEM_TYPES]},
    )
    title: str = Field(description="The problem type in words. The text may change.", examples=["Not found"])
    status: int = Field(description="The HTTP status.", ge=400, le=599, examples=[404])
    detail: str = Field(
        description="One sentence that says what to do. The text may change.",
        examples=["There is no payment with this id."],
    )
    instance: str | SkipJsonSchema[None] = Field(
        default=None,
        examples=["urn:uuid:2f0c9a52-0c4e-4b7b-9d53-2f5b1a7c8e10"],
        description="For failures of the service, the id of this error in its logs; absent otherwise.",
        json_schema_extra=_without_default,
    )


class NotReadyBody(ProblemBody):
    """The parts that keep the service from being ready."""

    model_config = ConfigDict(title="NotReady")

    ready: Literal[False] = Field(description="Always false in this response.")
    checks: dict[str, str] = Field(description="Each part with its state: `ok`, or a sentence.")


def render(problem_type: ProblemType, detail: str, *, error_id: str | None = None, **more: object) -> bytes:
    """Render a problem as JSON. `error_id` is the id in the log line."""
    problem = {
        "type": problem_type.uri,
        "title": problem_type.title,
        "status": problem_type.status,
        "detail": detail,
        **({"instance": f"urn:uuid:{error_id}"} if error_id else {}),
        **more,
    }
    return json.dumps(problem, ensure_ascii=False).encode()


def respond(
    problem_type: ProblemType, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """Return the response for a problem. `more` adds members beside the standard ones."""
    return Response(render(problem_type, detail, **more), problem_type.status, dict(headers or {}), PROBLEM_MEDIA_TYPE)


async def _respond_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - the table below says so
    return respond(error.type, error.detail, headers=error.headers)


async def _respond_unavailable(_request: Request, error: Exception) -> Response:
    return _unavailable(error)


def _unavailable(error: BaseException) -> Response:
    retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else RETRY_AFTER_S
    error_id = str(uuid4())
    log.warning("request_unavailable", error=describe_error(error.__cause__ or error), error_id=error_id)
    detail = f"The service cannot do this now. Nothing was lost: send the same request again in {retry_after_s} s."
    return respond(UNAVAILABLE, detail, headers={"Retry-After": str(retry_after_s)}, error_id=error_id)


async def _respond_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - the table below says so
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return respond(INVALID, f"{where}: {validation_message(first)}.")


async def _respond_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the table below says so
    problem_type, detail = _BY_STATUS.get(error.status_code) or (
        ProblemType("http", error.status_code, HTTPStatus(error.status_code).phrase),
        "The request cannot be processed in this form.",
    )
    headers = {"Allow": _allowed_methods(request)} if error.status_code == 405 else error.headers
    return respond(problem_type, detail, headers=headers)


def _allowed_methods(request: Request) -> str:
    """Return all methods that the path supports: the router itself lists those of the first matching route only."""
    taken = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    return ", ".join(taken)


def respond_to_failure(error: BaseException) -> Response:
    """Return the response for an error of the service: 503 if it may end by itself, else 500."""
    return _unavailable(error) if isinstance(error, (Unavailable, *TRANSIENT_ERRORS)) else respond_to_defect(error)


def respond_to_defect(error: BaseException) -> Response:
    """Log a defect with its traceback. The client gets only the id of the log line."""
    error_id = str(uuid4())
    log.error("request_failed", error=describe_error(error), error_id=error_id, exc_info=error)
    return respond(INTERNAL, "This is a defect of the service: report it with the id in `instance`.", error_id=error_id)


HANDLERS: Final = {
    Problem: _respond_problem,
    Unavailable: _respond_unavailable,
    RequestValidationError: _respond_invalid,
    HTTPException: _respond_http,
    **dict.fromkeys(TRANSIENT_ERRORS, _respond_unavailable),
}


def install(app: FastAPI | Starlette) -> None:
    """Register the handlers on an app."""
    for error, handler in HANDLERS.items():
        app.add_exception_handler(error, handler)
    logging.getLogger("fastapi").setLevel(logging.WARNING)
