"""A call as data, and the decision whether to send it again. Pure: the two clients share it and do the I/O."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Union
from urllib.parse import quote

import httpx

from payment_service_client.errors import NoAnswerError, error_of

# A proxy or the service cannot answer now, or limits the rate. Another answer is retried if it has Retry-After.
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
FIRST_WAIT_S = 0.25
# A caller waits for us, so a longer Retry-After is an error at once.
LONGEST_WAIT_S = 30.0

Outcome = Union[httpx.Response, httpx.RequestError]  # of one attempt


@dataclass(frozen=True)
class Call:
    """A request. Every attempt sends the same bytes under the same idempotency key."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any] | None = None
    idempotency_key: str | None = None

    def headers(self, api_key: str) -> dict[str, str]:
        """Return the headers of each attempt."""
        headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
        return {**headers, "Idempotency-Key": self.idempotency_key} if self.idempotency_key else headers

    def result(self, outcome: Outcome) -> Any:
        """Return the content of a good answer, or raise the error of another."""
        if isinstance(outcome, httpx.RequestError):
            why = str(outcome) or type(outcome).__name__
            text = f"{self.method} {self.path} got no answer ({why}): check the URL, or repeat the call."
            raise NoAnswerError(text, idempotency_key=self.idempotency_key) from outcome
        if not outcome.is_success:
            raise error_of(outcome, self.idempotency_key)
        try:
            return outcome.json()
        except ValueError:
            raise error_of(outcome, self.idempotency_key) from None


def get(path: str, **query: object) -> Call:
    """Return a call that reads. A parameter that is None is not sent."""
    return Call("GET", path, {name: _text(value) for name, value in query.items() if value is not None})


def post(path: str, idempotency_key: str | None, **body: object) -> Call:
    """Return a call that changes something, with a new idempotency key if there is none. A field that is None is not sent."""
    fields = {name: value for name, value in body.items() if value is not None}
    key = str(uuid.uuid4()) if idempotency_key is None else printable("The idempotency key", idempotency_key)
    return Call("POST", path, {}, fields, key)


def printable(name: str, text: str) -> str:
    """Return a text for a header. HTTP libraries show a text that they refuse, and this one may be secret."""
    if not (text and text.isascii() and text.isprintable() and text == text.strip()):
        message = f"{name} is empty, or has unprintable characters or spaces at an end: check how you read it."
        raise ValueError(message)
    return text


def path(template: str, **ids: object) -> str:
    """Return a path with its ids."""
    return template.format(**{name: quote(str(value), safe="") for name, value in ids.items()})


def wait_s(retry: int, outcome: Outcome) -> float | None:
    """Return how long to wait before the `retry`-th retry (from 1), or None if the outcome is final.

    Waits double, with jitter, so that clients that failed together do not return together.
    """
    backoff_s = FIRST_WAIT_S * 2.0 ** (retry - 1) * random.uniform(0.5, 1)  # noqa: S311 - no secret
    if isinstance(outcome, httpx.RequestError):
        return backoff_s
    asked = outcome.headers.get("retry-after", "")
    if not outcome.is_error or not (asked or outcome.status_code in RETRIED_STATUSES):
        return None
    # The service and common proxies send seconds. A date counts as none.
    wait = max(backoff_s, float(asked) if asked.isascii() and asked.isdigit() else 0.0)
    return wait if wait <= LONGEST_WAIT_S else None


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
