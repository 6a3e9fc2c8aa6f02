"""What becomes of a request that a fault strikes."""

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
    """The connection is broken on purpose, before the answer or in the `half` of its body.

    After half of it there is a silence of `pause_s`; then comes the rest, or the end.
    """

    mode: Literal["drop", "reset", "rest"]
    after_half: bool = False
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """What goes on the wire. One of a `proxy` bears none of Stripe's headers."""

    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)
    connection_break: ConnectionBreak | None = None
    proxy: bool = False


async def apply_before_work(injection: Injection | None) -> ApiResponse | None:
    """What comes before the work; an answer is what the client gets instead of it."""
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
    """What is done to the answer once its work is durable."""
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
    """What a request gets while Stripe is out."""
    period.requests += 1
    if outage.kind == "status":
        return _proxy_page(outage.code)
    if outage.kind == "hang":
        await period.end()
    return ApiResponse(0, "", connection_break=ConnectionBreak("drop"))


def injected_response(rule: Rule) -> ApiResponse:
    """The answer that a `status` rule or a preset gives: its own body, or one in Stripe's shape."""
    default = _default(rule)
    headers = {**default.headers, **rule.headers}
    if rule.body is None:
        return replace(default, headers=headers)
    text = rule.body if isinstance(rule.body, str) else json.dumps(rule.body)
    return replace(default, text=text, headers=headers)


def replacement_for(injection: Injection | None) -> ApiResponse | None:
    """The answer that takes the work's place."""
    if injection is None or injection.rule is None or injection.rule.phase != "instead":
        return None
    injection.used = True
    return injected_response(injection.rule)


def stored_response(injection: Injection | None, response: ApiResponse) -> ApiResponse | None:
    """What the idempotency key will answer from now on, given what the work (or `instead` of it) answered.

    Stripe keeps what the operation answered, a 500 included; what is lost on the way is kept as it was, and
    what never ran is not kept (https://docs.stripe.com/api/idempotent_requests).
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
    """Half of an object is never JSON: its last brace is missing."""
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
    error["message"] = "An error was injected by a fault rule of the sandbox."
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        error |= {"code": "rate_limit", "doc_url": doc_url("rate_limit")}
    if code == HTTPStatus.CONFLICT:
        error |= {"code": "idempotency_key_in_use", "doc_url": doc_url("idempotency_key_in_use")}
    return {"error": error}


def _proxy_page(code: int) -> ApiResponse:
    """What a proxy in front of Stripe says for it."""
    title = f"{code} {responses.get(code, '')}".strip()
    text = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return ApiResponse(code, text, HTML_HEADERS, proxy=True)
