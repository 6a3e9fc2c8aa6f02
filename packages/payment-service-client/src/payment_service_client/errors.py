"""Errors of a call. Each carries the idempotency key of the call, so that you can repeat the same change later."""

from __future__ import annotations

from typing import Any

import httpx

_URN = "urn:payment-service:"


class PaymentServiceError(Exception):
    """The base of all errors of this package. `idempotency_key` is None for a call that only reads."""

    def __init__(self, message: str, *, idempotency_key: str | None) -> None:
        super().__init__(message)
        self.idempotency_key = idempotency_key


class NoAnswerError(PaymentServiceError):
    """No answer arrived. The service may have made the change: repeat the call with the same key."""


class ApiError(PaymentServiceError):
    """The service refused the call: a problem of RFC 9457.

    `code` is the problem type for programs, such as `not_found`, and empty if a proxy answered. `request_id` finds the
    error in the logs: the header X-Request-ID of a proxy, or the service's own id of a defect.
    """

    def __init__(self, response: httpx.Response, *, idempotency_key: str | None) -> None:
        problem = _problem(response)
        self.status = response.status_code
        self.code = str(problem.get("type", "")).removeprefix(_URN)
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail", "The answer is not of payment-service: check the URL."))
        self.request_id = response.headers.get("x-request-id") or problem.get("instance")
        named = f" (request {self.request_id})" if self.request_id else ""
        super().__init__(f"{self.status} {self.code}: {self.detail}{named}", idempotency_key=idempotency_key)


class InvalidRequestError(ApiError):
    """The request is not valid: 400, 422 and every other 4xx without a class of its own."""


class UnauthenticatedError(ApiError):
    """The API key is missing, unknown or revoked (401)."""


class ForbiddenError(ApiError):
    """The API key lacks the scope (403)."""


class NotFoundError(ApiError):
    """There is no such object, or not yet (404)."""


class ConflictError(ApiError):
    """The payment does not allow this in its state (409). `code` is `not_allowed`, `needs_approval`, `not_yet` or `in_progress`."""


class TooManyRequestsError(ApiError):
    """Too many requests, after all retries (429)."""


class ServerError(ApiError):
    """The service failed (5xx). Repeat the call with the same key."""


class UnavailableError(ServerError):
    """The service or its database is not available, after all retries (502, 503, 504)."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    429: TooManyRequestsError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}
_FIRST_SERVER_ERROR = 500


def error_of(response: httpx.Response, idempotency_key: str | None) -> ApiError:
    """Return the error of an answer. An unknown status has the class of its hundred."""
    other = ServerError if response.status_code >= _FIRST_SERVER_ERROR else InvalidRequestError
    return _BY_STATUS.get(response.status_code, other)(response, idempotency_key=idempotency_key)


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
