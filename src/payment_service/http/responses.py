"""OpenAPI descriptions of the responses that routes share: errors with examples, and headers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from payment_service.http import problems
from payment_service.http.problems import PROBLEM_MEDIA_TYPE, ProblemType, render

if TYPE_CHECKING:
    from collections.abc import Mapping

Responses = dict[int | str, dict[str, Any]]

TITLE: Final = "payment-service"
PROBLEM: Final = "Problem"


def header(description: str, **schema: Any) -> dict[str, Any]:
    """Describe a response header."""
    return {"description": description, "schema": schema}


RETRY_AFTER: Final = {
    "Retry-After": header("Seconds to wait before sending the same request again.", type="integer", minimum=1)
}
# The client secret belongs to one customer, so no cache may keep it. Nor may a cache keep a 404 that is true for a
# second.
NO_STORE: Final = {"Cache-Control": header("Caches must not store this response.", type="string", const="no-store")}
_CHALLENGE: Final = {"WWW-Authenticate": header("The authentication scheme to use.", type="string", const="Bearer")}


def problem(
    description: str,
    *samples: tuple[ProblemType, str],
    headers: Mapping[str, Any] | None = None,
    schema: str = PROBLEM,
    **more: Any,
) -> dict[str, Any]:
    """Describe an error: when it occurs, and an example of each problem type. `more` adds members beside the standard
    ones.
    """
    examples = {
        problem_type.slug: {"summary": problem_type.title, "value": json.loads(render(problem_type, detail, **more))}
        for problem_type, detail in samples
    }
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": examples}
    return {
        "description": description,
        **({"headers": dict(headers)} if headers else {}),
        "content": {PROBLEM_MEDIA_TYPE: content},
    }


# Any route can answer these.
ALWAYS: Final[Responses] = {
    400: problem("The request is not valid HTTP/1.1.", (problems.BAD_REQUEST, "The request is not valid HTTP/1.1.")),
    431: problem(
        "The request line and the headers are too large.",
        (problems.HEAD_TOO_LARGE, "The request line and headers may have 32768 bytes and 100 headers."),
    ),
    500: problem(
        "A defect of the service. `instance` identifies the log line. Send the same request again to learn if the change was made.",
        (problems.INTERNAL, "This is a defect of the service: report it with the id in `instance`."),
    ),
}
COMMON_RESPONSES: Final[Responses] = {
    **ALWAYS,
    401: problem(
        "The API key is missing or not valid.",
        (problems.UNAUTHENTICATED, "Send a valid API key as `Authorization: Bearer psk_…`."),
        headers=_CHALLENGE,
    ),
    403: problem(
        "The API key lacks the required scope, or may not be used from this address or for this refund.",
        (problems.FORBIDDEN, "This request needs a key with the scope `refund` (or `admin`)."),
    ),
    422: problem(
        "A parameter is missing, unknown, repeated or not valid.",
        (problems.INVALID, "limit: must be at most 100."),
    ),
    429: problem(
        "A limit of the key is used up, or too many invalid API keys came from this address. Valid keys are never refused for the latter.",
        (problems.TOO_MANY, "Too many invalid API keys: wait 3 s."),
        headers=RETRY_AFTER,
    ),
    503: problem(
        "The database does not answer. Nothing was lost: send the same request again.",
        (problems.UNAVAILABLE, "The service cannot do this now. Nothing was lost: send the same request again in 1 s."),
        headers=RETRY_AFTER,
    ),
}
# Named, so that the description states each response once.
SHARED: Final = {
    "NotHttp": COMMON_RESPONSES[400],
    "Unauthenticated": COMMON_RESPONSES[401],
    "Forbidden": COMMON_RESPONSES[403],
    "InvalidParameter": COMMON_RESPONSES[422],
    "TooManyRequests": COMMON_RESPONSES[429],
    "HeadTooLarge": COMMON_RESPONSES[431],
    "Defect": COMMON_RESPONSES[500],
    "Unavailable": COMMON_RESPONSES[503],
}
NO_PAYMENT: Final[Responses] = {
    404: problem("There is no payment with this id.", (problems.NOT_FOUND, "There is no payment with this id."))
}
PAGE: Final[Responses] = {
    200: {"description": "One page of the list. It starts at the beginning, or after the page that returned `cursor`."}
}
NO_REFUND: Final[Responses] = {
    404: problem("There is no refund with this id.", (problems.NOT_FOUND, "There is no refund with this id."))
}

REPLAYED: Final = {
    "Idempotent-Replayed": header(
        "`true` if this is the stored response of an earlier request with the same key; absent otherwise.",
        type="string",
        const="true",
    )
}
TOO_SLOW: Final = problem(
    "The body was not complete after 10 s.", (problems.TOO_SLOW, "The body was not complete after 10 s.")
)
_KEY_MISMATCH: Final = "This Idempotency-Key was used for a different request: use a new key for each change."
_IN_PROGRESS: Final = "A request with this Idempotency-Key is in progress: send it again in a second."


def change_responses(
    *,
    not_allowed: str,
    invalid: str,
    when: str = "The payment's state does not allow it",
    not_yet: str = "",
    needs_approval: str = "",
    location: bool = False,
) -> Responses:
    """Describe the responses to a change. The arguments are examples for states that do not allow it, bad input, and
    not yet.
    """
    soon = [(problems.NOT_YET, not_yet)] if not_yet else []
    four_eyes = [(problems.NEEDS_APPROVAL, needs_approval)] if needs_approval else []
    place = {"Location": header("URL of the new object.", type="string", format="uri-reference")} if location else {}
    return {
        201: {"description": "The change was accepted. Each key is accepted once.", "headers": {**place, **REPLAYED}},
        400: problem(
            "The Idempotency-Key is missing or malformed, or the request or its body cannot be read.",
            (problems.BAD_REQUEST, "Send one header Idempotency-Key of 1 to 255 printable ASCII characters."),
        ),
        408: TOO_SLOW,
        409: problem(
            f"{when}; or, with Retry-After, it is not possible yet or a request with the same key is in progress.",
            (problems.NOT_ALLOWED, not_allowed),
            *four_eyes,
            *soon,
            (problems.IN_PROGRESS, _IN_PROGRESS),
            headers=RETRY_AFTER,
        ),
        413: problem("The body is too large.", (problems.TOO_LARGE, "A body may have at most 16384 bytes.")),
        415: problem(
            "The body is not `application/json`.", (problems.UNSUPPORTED_TYPE, "Send the body as application/json.")
        ),
        422: problem(
            "A field or parameter is not valid, or the key was used for a different request. Nothing was changed.",
            (problems.INVALID, invalid),
            (problems.KEY_MISMATCH, _KEY_MISMATCH),
        ),
    }


WEBHOOK: Final[Responses] = {
    **ALWAYS,
    400: problem(
        "The signature is missing, wrong or more than 300 s away from our clock, or the signed body is not an event.",
        (problems.NOT_SIGNED, "The signature is older than 300 s."),
        (problems.NOT_AN_EVENT, "The body is not JSON."),
    ),
    408: TOO_SLOW,
    413: problem("The body is too large.", (problems.TOO_LARGE, "A body may have at most 262144 bytes.")),
    415: problem(
        "The body is not `application/json`, or has a content encoding.",
        (problems.UNSUPPORTED_TYPE, "Send the event as application/json."),
    ),
    503: problem(
        "The event cannot be stored now: send it again.",
        (problems.UNAVAILABLE, "The service cannot do this now. Nothing was lost: send the same request again in 1 s."),
        headers=RETRY_AFTER,
    ),
}
