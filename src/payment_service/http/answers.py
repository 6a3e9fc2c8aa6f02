"""Answers that routes have in common, in the words of OpenAPI: errors, with the sentence of each, and headers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from payment_service.http import problems
from payment_service.http.problems import PROBLEM_TYPE, Kind, render

if TYPE_CHECKING:
    from collections.abc import Mapping

Responses = dict[int | str, dict[str, Any]]

PROBLEM: Final = "Problem"


def header(description: str, **schema: Any) -> dict[str, Any]:
    """Describe a header of an answer."""
    return {"description": description, "schema": schema}


RETRY_AFTER: Final = {
    "Retry-After": header("Seconds to wait before the same is sent again.", type="integer", minimum=1)
}
# The secret is for one customer: no cache may keep it, nor a 404 that is true for a second.
NO_STORE: Final = {"Cache-Control": header("No cache may keep this answer.", type="string", const="no-store")}
_CHALLENGE: Final = {"WWW-Authenticate": header("How to authenticate.", type="string", const="Bearer")}


def problem(
    description: str,
    *samples: tuple[Kind, str],
    headers: Mapping[str, Any] | None = None,
    schema: str = PROBLEM,
    **more: Any,
) -> dict[str, Any]:
    """Describe an error: when it comes, and a sentence of each kind that it may be; `more` are members of its own."""
    examples = {
        kind.slug: {"summary": kind.title, "value": json.loads(render(kind, detail, **more))}
        for kind, detail in samples
    }
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": examples}
    return {
        "description": description,
        **({"headers": dict(headers)} if headers else {}),
        "content": {PROBLEM_TYPE: content},
    }


# Whatever is asked for.
ALWAYS: Final[Responses] = {
    400: problem("The request is not valid HTTP/1.1.", (problems.BAD_REQUEST, "The request is not valid HTTP/1.1.")),
    431: problem(
        "The request line and the headers are too large.",
        (problems.HEAD_TOO_LARGE, "The request line and headers may have 32768 bytes and 100 headers."),
    ),
    500: problem(
        "A defect of the service; `instance` names it in our logs. Whether a change was made, the same request tells.",
        (problems.INTERNAL, "This is our fault: report it with the id in `instance`."),
    ),
}
ANSWERS: Final[Responses] = {
    **ALWAYS,
    401: problem(
        "There is no API key, or not a valid one.",
        (problems.UNAUTHENTICATED, "Send a valid API key as `Authorization: Bearer psk_…`."),
        headers=_CHALLENGE,
    ),
    403: problem(
        "The API key lacks the scope.",
        (problems.FORBIDDEN, "This needs a key with the scope `refund` (or `admin`)."),
    ),
    422: problem(
        "A parameter is missing, unknown, given twice or not valid.",
        (problems.INVALID, "limit: must be at most 100."),
    ),
    429: problem(
        "Too many API keys from this address that were not valid. Valid ones are never refused for it.",
        (problems.TOO_MANY, "Too many bad API keys: wait 3 s."),
        headers=RETRY_AFTER,
    ),
    503: problem(
        "The database does not answer; nothing was lost: send the same again.",
        (problems.UNAVAILABLE, "This can't be done now; nothing was lost: send the same again in 1 s."),
        headers=RETRY_AFTER,
    ),
}
# By name, so that the description says each once.
SHARED: Final = {
    "NotHttp": ANSWERS[400],
    "Unauthenticated": ANSWERS[401],
    "Forbidden": ANSWERS[403],
    "InvalidParameter": ANSWERS[422],
    "TooManyBadKeys": ANSWERS[429],
    "HeadTooLarge": ANSWERS[431],
    "Defect": ANSWERS[500],
    "Unavailable": ANSWERS[503],
}
NO_PAYMENT: Final[Responses] = {
    404: problem("There is no payment with this id.", (problems.NOT_FOUND, "There is no payment with this id."))
}
PAGE: Final[Responses] = {200: {"description": "A part of the list, from its beginning or where `cursor` goes on."}}
NO_REFUND: Final[Responses] = {
    404: problem("There is no refund with this id.", (problems.NOT_FOUND, "There is no refund with this id."))
}

REPLAYED: Final = {
    "Idempotent-Replayed": header(
        "`true` where this is the answer that the same key had before; else it is absent.", type="string", const="true"
    )
}
_KEY_MISMATCH: Final = "This Idempotency-Key was used for another request: use a new key for each change."
_IN_PROGRESS: Final = "A request with this Idempotency-Key is being worked on: send it again in a second."


def change_answers(
    *,
    not_allowed: str,
    invalid: str,
    when: str = "It can't be done in this state",
    not_yet: str = "",
    location: bool = False,
) -> Responses:
    """Describe how a change is answered. The sentences are those of what can't be in this state, never, and not yet."""
    soon = [(problems.NOT_YET, not_yet)] if not_yet else []
    place = {"Location": header("Where to read it.", type="string", format="uri-reference")} if location else {}
    return {
        201: {"description": "The change is asked for, once for each key.", "headers": {**place, **REPLAYED}},
        400: problem(
            "The Idempotency-Key is missing or can't be one, or the body or the request can't be read.",
            (problems.BAD_REQUEST, "Send one header Idempotency-Key of 1 to 255 printable ASCII characters."),
        ),
        409: problem(
            f"{when}; or (then with Retry-After) not yet, or the same key is being worked on.",
            (problems.NOT_ALLOWED, not_allowed),
            *soon,
            (problems.IN_PROGRESS, _IN_PROGRESS),
            headers=RETRY_AFTER,
        ),
        413: problem("The body is too large.", (problems.TOO_LARGE, "A body may have at most 16384 bytes.")),
        415: problem(
            "The body is not `application/json`.", (problems.UNSUPPORTED_TYPE, "Send the body as application/json.")
        ),
        422: problem(
            "A field or parameter is not valid, or the key was used for another request. Nothing was done.",
            (problems.INVALID, invalid),
            (problems.KEY_MISMATCH, _KEY_MISMATCH),
        ),
    }


WEBHOOK: Final[Responses] = {
    **ALWAYS,
    400: problem(
        "The signature is missing, not ours or more than 300 s from our clock; or what was signed is no event.",
        (problems.NOT_SIGNED, "The signature is older than 300 s."),
        (problems.NOT_AN_EVENT, "The body is not JSON."),
    ),
    408: problem("The body was not complete after 10 s.", (problems.TOO_SLOW, "The body was not complete after 10 s.")),
    413: problem("The body is too large.", (problems.TOO_LARGE, "A body may have at most 262144 bytes.")),
    415: problem(
        "The body is not `application/json`, or has a content encoding.",
        (problems.UNSUPPORTED_TYPE, "Send the event as application/json."),
    ),
    503: problem(
        "The event can't be stored now; send it again.",
        (problems.UNAVAILABLE, "This can't be done now; nothing was lost: send the same again in 1 s."),
        headers=RETRY_AFTER,
    ),
}
