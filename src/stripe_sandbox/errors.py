"""Errors in Stripe's shape (https://docs.stripe.com/api/errors)."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

INVALID_REQUEST = "invalid_request_error"


class ApiError(Exception):
    """A request refused without effect: whatever the operation had begun is rolled back.

    A decline is not one of these: its effects stay, so operations return it as a reply.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID_REQUEST,
        code: str | None = None,
        param: str | None = None,
        extra: Json | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.error: Json = {"type": kind, "message": message, **(extra or {})}
        if code is not None:
            self.error["code"] = code
            self.error["doc_url"] = doc_url(code)
        if param is not None:
            self.error["param"] = param


def doc_url(code: str) -> str:
    return "https://stripe.com/docs/error-codes/" + code.replace("_", "-")


def body(error: Json, request_id: str) -> Json:
    """The response body of an error, with the address of its log line."""
    log = f"https://dashboard.stripe.com/test/logs/{request_id}"
    return {"error": {**error, "request_log_url": log}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code)


def unknown_parameter(name: str) -> ApiError:
    return invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")


def missing_parameter(name: str) -> ApiError:
    return invalid(f"Missing required param: {name}.", name, "parameter_missing")


def missing_resource(noun: str, identifier: str, param: str, status: int = 404) -> ApiError:
    """404 for an object named in the path, 400 for one named in a parameter."""
    message = f"No such {noun}: '{identifier}'"
    return ApiError(status, message, param=param, code="resource_missing")


def unknown_url(method: str, path: str) -> ApiError:
    return ApiError(
        404,
        f"Unrecognized request URL ({method}: {path}). This is the sandbox: docs/sandbox.md lists"
        " what it covers; https://docs.stripe.com/api lists what Stripe offers.",
    )


def key_in_use(key: str) -> ApiError:
    return ApiError(
        409,
        "There is currently another in-progress request using this Idempotent Key"
        f" (that probably means you submitted twice, and the other request is still going): {key}",
        code="idempotency_key_in_use",
    )


def key_reused(key: str) -> ApiError:
    return ApiError(
        400,
        "Keys for idempotent requests can only be used with the same parameters they were first"
        f" used with. Try using a key other than '{key}' if you meant to execute a different"
        " request.",
        kind="idempotency_error",
    )
