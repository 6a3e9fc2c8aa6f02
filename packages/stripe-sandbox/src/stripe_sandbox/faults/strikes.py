"""What becomes of a request that a fault strikes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.client import responses
from typing import Literal

from stripe_sandbox.errors import INVALID_REQUEST, ApiError, Json, doc_url
from stripe_sandbox.faults.outage import Outage, Spell
from stripe_sandbox.faults.rules import ANSWERS, Rule, Strike
from stripe_sandbox.wire.limits import lock_timeout, rate_limited

HTML = {"Content-Type": "text/html"}
STAND_IN = '{"id":"pi_3SandboxTruncated","object":"payment_intent","amount":1000,"currency":"usd"}'


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is broken on purpose, before the answer or in the `half` of its body.

    After half of it there is a silence of `pause_s`; then comes the rest, or the end.
    """

    how: Literal["drop", "reset", "rest"]
    half: bool = False
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes on the wire. One of a `proxy` bears none of Stripe's headers."""

    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)
    cut: Cut | None = None
    proxy: bool = False


async def suffer(strike: Strike | None) -> Answer | None:
    """What comes before the work; an answer is what the client gets instead of it."""
    if strike is None:
        return None
    if strike.delay_s:
        await asyncio.sleep(strike.delay_s)
    rule = strike.rule
    if rule is None or rule.phase != "before":
        return None
    strike.spent = True
    if rule.action == "latency":
        await asyncio.sleep(rule.ms / 1000)
        return None
    return await _struck(rule, Answer(HTTPStatus.OK, STAND_IN))


async def finish(strike: Strike, answer: Answer) -> Answer:
    """What is done to the answer once its work is durable."""
    rule = strike.rule
    if rule is None or rule.phase not in ("after", "body"):
        return answer
    strike.spent = True
    if rule.phase == "body":
        return _halved(rule, answer)
    if rule.action == "latency":
        await asyncio.sleep(rule.ms / 1000)
        return answer
    return await _struck(rule, answer)


async def away(outage: Outage, spell: Spell) -> Answer:
    """What a request gets while Stripe is out."""
    spell.met += 1
    if outage.kind == "status":
        return _page(outage.code)
    if outage.kind == "hang":
        await spell.end()
    return Answer(0, "", cut=Cut("drop"))


def injected(rule: Rule) -> Answer:
    """The answer that a `status` rule or a preset gives: its own body, or one in Stripe's shape."""
    default = _default(rule)
    headers = {**default.headers, **rule.headers}
    if rule.body is None:
        return replace(default, headers=headers)
    text = rule.body if isinstance(rule.body, str) else json.dumps(rule.body)
    return replace(default, text=text, headers=headers)


def instead(strike: Strike | None) -> Answer | None:
    """The answer that takes the work's place."""
    if strike is None or strike.rule is None or strike.rule.phase != "instead":
        return None
    strike.spent = True
    return injected(strike.rule)


def remembered(strike: Strike | None, answer: Answer) -> Answer | None:
    """What the idempotency key will answer from now on, given what the work (or `instead` of it) answered.

    Stripe keeps what the operation answered, a 500 included; what is lost on the way is kept as it was, and
    what never ran is not kept (https://docs.stripe.com/api/idempotent_requests).
    """
    rule = None if strike is None else strike.rule
    if rule is None or rule.phase not in ("instead", "after") or rule.action not in ANSWERS:
        return answer
    if rule.kept:
        return injected(rule)
    return None if rule.phase == "instead" else answer


async def _struck(rule: Rule, answer: Answer) -> Answer:
    if rule.action == "truncated":
        return replace(answer, text=_half(answer.text))
    if rule.action == "incomplete":
        return replace(answer, cut=Cut("drop", half=True))
    if rule.action in ANSWERS:
        return injected(rule)
    if rule.action == "hang":
        await asyncio.sleep(rule.seconds)
    return replace(answer, cut=Cut("reset" if rule.action == "reset" else "drop"))


def _halved(rule: Rule, answer: Answer) -> Answer:
    if rule.action == "truncated":
        return replace(answer, text=_half(answer.text))
    if rule.action == "latency":
        return replace(answer, cut=Cut("rest", half=True, pause_s=rule.ms / 1000))
    if rule.action == "hang":
        return replace(answer, cut=Cut("drop", half=True, pause_s=rule.seconds))
    return replace(answer, cut=Cut("reset" if rule.action == "reset" else "drop", half=True))


def _half(text: str) -> str:
    """Half of an object is never JSON: its last brace is missing."""
    return text[: len(text) // 2]


def _default(rule: Rule) -> Answer:
    if rule.action == "bad_gateway":
        return _page(HTTPStatus.BAD_GATEWAY)
    if rule.action == "rate_limited":
        error = lock_timeout() if rule.reason == "lock_timeout" else rate_limited(rule.reason)
        after = {} if rule.retry_after_s is None else {"Retry-After": str(rule.retry_after_s)}
        return _error(error, {**error.headers, **after})
    return Answer(rule.status, json.dumps(_body(rule.status)))


def _error(error: ApiError, headers: dict[str, str]) -> Answer:
    return Answer(error.status, json.dumps({"error": error.error}), headers)


def _body(code: int) -> Json:
    error: Json = {"type": "api_error" if code >= HTTPStatus.INTERNAL_SERVER_ERROR else INVALID_REQUEST}
    error["message"] = "An error was injected by a fault rule of the sandbox."
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        error |= {"code": "rate_limit", "doc_url": doc_url("rate_limit")}
    if code == HTTPStatus.CONFLICT:
        error |= {"code": "idempotency_key_in_use", "doc_url": doc_url("idempotency_key_in_use")}
    return {"error": error}


def _page(code: int) -> Answer:
    """What a proxy in front of Stripe says for it."""
    title = f"{code} {responses.get(code, '')}".strip()
    text = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(code, text, HTML, proxy=True)
