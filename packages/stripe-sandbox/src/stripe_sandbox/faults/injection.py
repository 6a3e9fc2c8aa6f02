"""Apply a selected fault to one request: before its work, in place of it, or to its response."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.client import responses
from typing import Literal

from stripe_sandbox.errors import INVALID_REQUEST, ApiError, Json, doc_url
from stripe_sandbox.faults.outage import FaultPeriod, Outage
from stripe_sandbox.faults.rules import RESPONSE_ACTIONS, Injection, Rule
from stripe_sandbox.wire.rate_limits import lock_timeout, rate_limited

HTML_HEADERS = {"Content-Type": "text/html"}
PLACEHOLDER_BODY = '{"id":"pi_3SandboxTruncated","object":"payment_intent","amount":1000,"currency":"usd"}'


@dataclass(frozen=True, slots=True)
class ConnectionBreak:
    """A deliberately broken connection: before the response, or `after_half` of its body.

    After half of the body the connection is silent for `pause_s`. Then it ends, or in mode `rest` the remainder
    follows.
    """

    mode: Literal["drop", "reset", "rest"]
    after_half: bool = False
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response before it is sent; a `proxy` response carries none of Stripe's headers."""

    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)
    connection_break: ConnectionBreak | None = None
    proxy: bool = False


async def apply_before_work(injection: Injection | None) -> ApiResponse | None:
    """Apply delays and `before` faults; a returned response replaces the work."""
    if injection is None:
        return None
    if injection.delay_s:
        await asyncio.sleep(injection.delay_s)
    rule = injection.rule
    if rule is None or rule.phase != "before":
        return None
    injection.used = True
    if rule.action == "latency":
        await asyncio.sleep(rule.ms / 1000)
        return None
    return await _broken_or_replaced(rule, ApiResponse(HTTPStatus.OK, PLACEHOLDER_BODY))


async def apply_after_work(injection: Injection, response: ApiResponse) -> ApiResponse:
    """Apply `after` and `body` faults to the response of durable work."""
    rule = injection.rule
    if rule is None or rule.phase not in ("after", "body"):
        return response
    injection.used = True
    if rule.phase == "body":
        return _broken_in_body(rule, response)
    if rule.action == "latency":
        await asyncio.sleep(rule.ms / 1000)
        return response
    return await _broken_or_replaced(rule, response)


async def during_outage(outage: Outage, period: FaultPeriod) -> ApiResponse:
    """Return the response to a request that arrives during an outage."""
    period.requests += 1
    if outage.kind == "status":
        return _proxy_page(outage.code)
    if outage.kind == "hang":
        await period.end()
    return ApiResponse(0, "", connection_break=ConnectionBreak("drop"))


def injected_response(rule: Rule) -> ApiResponse:
    """Return the response of a `status` rule or preset: the rule's body, or an error in Stripe's format."""
    default = _default(rule)
    headers = {**default.headers, **rule.headers}
    if rule.body is None:
        return replace(default, headers=headers)
    text = rule.body if isinstance(rule.body, str) else json.dumps(rule.body)
    return replace(default, text=text, headers=headers)


def replacement_for(injection: Injection | None) -> ApiResponse | None:
    """Return the injected response that replaces the work, if any."""
    if injection is None or injection.rule is None or injection.rule.phase != "instead":
        return None
    injection.used = True
    return injected_response(injection.rule)


def stored_response(injection: Injection | None, response: ApiResponse) -> ApiResponse | None:
    """Return the response to store under the idempotency key, given the operation's response.

    Stripe stores the operation's response, including a 500. A response lost on the way is stored unchanged. A request
    that never ran is not stored (https://docs.stripe.com/api/idempotent_requests).
    """
    rule = None if injection is None else injection.rule
    if rule is None or rule.phase not in ("instead", "after") or rule.action not in RESPONSE_ACTIONS:
        return response
    if rule.stored:
        return injected_response(rule)
    return None if rule.phase == "instead" else response


async def _broken_or_replaced(rule: Rule, response: ApiResponse) -> ApiResponse:
    if rule.action == "truncated":
        return replace(response, text=_half(response.text))
    if rule.action == "incomplete":
        return replace(response, connection_break=ConnectionBreak("drop", after_half=True))
    if rule.action in RESPONSE_ACTIONS:
        return injected_response(rule)
    if rule.action == "hang":
        await asyncio.sleep(rule.seconds)
    return replace(response, connection_break=ConnectionBreak("reset" if rule.action == "reset" else "drop"))


def _broken_in_body(rule: Rule, response: ApiResponse) -> ApiResponse:
    if rule.action == "truncated":
        return replace(response, text=_half(response.text))
    if rule.action == "latency":
        return replace(response, connection_break=ConnectionBreak("rest", after_half=True, pause_s=rule.ms / 1000))
    if rule.action == "hang":
        return replace(response, connection_break=ConnectionBreak("drop", after_half=True, pause_s=rule.seconds))
    return replace(
        response, connection_break=ConnectionBreak("reset" if rule.action == "reset" else "drop", after_half=True)
    )


def _half(text: str) -> str:
    """Cut the text in half; without its last brace an object is never valid JSON."""
    return text[: len(text) // 2]


def _default(rule: Rule) -> ApiResponse:
    if rule.action == "bad_gateway":
        return _proxy_page(HTTPStatus.BAD_GATEWAY)
    if rule.action == "rate_limited":
        error = lock_timeout() if rule.reason == "lock_timeout" else rate_limited(rule.reason)
        after = {} if rule.retry_after_s is None else {"Retry-After": str(rule.retry_after_s)}
        return _error(error, {**error.headers, **after})
    return ApiResponse(rule.status, json.dumps(_body(rule.status)))


def _error(error: ApiError, headers: dict[str, str]) -> ApiResponse:
    return ApiResponse(error.status, json.dumps({"error": error.error}), headers)


def _body(code: int) -> Json:
    error: Json = {"type": "api_error" if code >= HTTPStatus.INTERNAL_SERVER_ERROR else INVALID_REQUEST}
    error["message"] = "A fault rule of the sandbox injected this error."
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        error |= {"code": "rate_limit", "doc_url": doc_url("rate_limit")}
    if code == HTTPStatus.CONFLICT:
        error |= {"code": "idempotency_key_in_use", "doc_url": doc_url("idempotency_key_in_use")}
    return {"error": error}


def _proxy_page(code: int) -> ApiResponse:
    """Return the HTML error page of a proxy in front of Stripe."""
    title = f"{code} {responses.get(code, '')}".strip()
    text = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return ApiResponse(code, text, HTML_HEADERS, proxy=True)
