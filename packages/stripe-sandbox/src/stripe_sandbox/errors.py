"""Errors in Stripe's format (https://docs.stripe.com/api/errors)."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

Json = dict[str, Any]

INVALID_REQUEST = "invalid_request_error"


class ApiError(Exception):
    """A rejected request: the unit of work is rolled back.

    A decline is not an `ApiError`. Its effects stay, so operations return it as a reply.
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
    """Return the response body of an error, with the URL of its request log."""
    log = f"https://dashboard.stripe.com/test/logs/{request_id}"
    return {"error": {**error, "request_log_url": log}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code)


def unknown_parameters(names: list[str], known: Iterable[str]) -> ApiError:
    """Name all unknown parameters; for a single one, suggest the closest known name."""
    message = f"Received unknown parameter{'s' if len(names) > 1 else ''}: {', '.join(names)}"
    meant = get_close_matches(names[0], known, n=1) if len(names) == 1 else []
    hint = f". Did you mean {meant[0]}?" if meant else ""
    return invalid(message + hint, names[0], "parameter_unknown")


def missing_parameter(name: str) -> ApiError:
    return invalid(f"Missing required param: {name}.", name, "parameter_missing")


def missing_resource(noun: str, identifier: str, param: str, status: int = 404) -> ApiError:
    """Return 404 for an object named in the path, or `status` 400 for one named in a parameter."""
    message = f"No such {noun}: '{identifier}'"
    return ApiError(status, message, param=param, code="resource_missing")


def unknown_url(method: str, path: str) -> ApiError:
    slash = (
        "If you are trying to list objects, remove the trailing slash. If you are trying to retrieve"
        " an object, make sure you passed a valid (non-empty) identifier in your code. "
    )
    return ApiError(
        404,
        f"Unrecognized request URL ({method}: {path}). {slash if path.endswith('/') else ''}This is the"
        " sandbox: see docs/sandbox.md for what it covers, and https://docs.stripe.com/api for Stripe itself.",
    )


def not_a_form() -> ApiError:
    return invalid("Invalid request (check that your POST content type is application/x-www-form-urlencoded).")


def no_access(account: str) -> ApiError:
    """Return the 403 for a `Stripe-Account` that is not an account id."""
    return ApiError(
        403,
        f"The provided key does not have access to account '{account}' (or that account does not"
        " exist). Application access may have been revoked.",
        code="account_invalid",
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
