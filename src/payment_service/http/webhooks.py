"""`POST /webhooks/{provider}`: read, verify, translate, hand over, and answer 200 only when the event is durable."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response

from payment_service.domain import card_numbers
from payment_service.http.problems import (
    NOT_AN_EVENT,
    NOT_FOUND,
    NOT_SIGNED,
    TOO_LARGE,
    TOO_SLOW,
    UNAVAILABLE,
    UNSUPPORTED_TYPE,
    Kind,
    Problem,
)
from payment_service.provider.port import BodyRefused, Disposition, SignatureRefused
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from payment_service.provider.port import ProviderEvent, WebhookReceiver

log = structlog.get_logger(__name__)

# A body of the largest size over a slow line; Stripe itself sends its few kilobytes at once.
READ_TIMEOUT_S: Final = 10.0
# Under a second of work at the rate that this process reaches. What waits longer is better sent again, which Stripe does.
WAITING_MAX: Final = 2_048
# Bodies held at once, so that a few hundred large ones can't take the memory that the process may have (150 MB).
HELD_LIMIT_BYTES: Final = 33_554_432
RETRY_AFTER_S: Final = 5

_CLIENT_SECRET: Final = re.compile(r"_secret_[A-Za-z0-9]+")
_RECEIVED: Final = Response(b'{"received":true}', media_type="application/json")

Take = Callable[["ProviderEvent", str], Awaitable[None]]
Quarantine = Callable[[str, bytes, str, str], Awaitable[None]]


NO_SUCH_PROVIDER: Final = "No provider of this name that sends webhooks runs here."


class _Gone(Exception):
    """The sender hung up before its body was complete."""


class WebhookEndpoint:
    """An ASGI app for one path, that of the provider `name`.

    `take(event, verified_by)` returns when the event is durable; `quarantine(provider, body, reason, detail)` keeps a body that was
    signed and can't be read. Both may raise Unavailable, which is answered 503: the provider sends the event again.
    """

    def __init__(
        self,
        *,
        name: str,
        receiver: WebhookReceiver,
        body_limit_bytes: int,
        take: Take,
        quarantine: Quarantine,
        now_s: Callable[[], int] = lambda: int(time.time()),
        read_timeout_s: float = READ_TIMEOUT_S,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._name = name
        self._receiver = receiver
        self._body_limit_bytes = body_limit_bytes
        self._take = take
        self._quarantine = quarantine
        self._now_s = now_s
        self._read_timeout_s = read_timeout_s
        self._waiting_max = waiting_max
        self._waiting = 0
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one delivery."""
        if self._waiting >= self._waiting_max:
            raise _overloaded()
        headers = Headers(scope=scope)
        self._check_head(headers)
        chunks: list[bytes] = []
        self._waiting += 1
        try:
            body = await self._read(receive, chunks)
            label = self._verify(body, headers)
            await self._take(await self._read_event(body), label)
        except _Gone:
            metrics.WEBHOOKS_REFUSED.labels("gone").inc()
            return
        finally:
            self._waiting -= 1
            self._held_bytes -= sum(map(len, chunks))
        await _RECEIVED(scope, receive, send)

    def _check_head(self, headers: Headers) -> None:
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise _refused(UNSUPPORTED_TYPE, "content_type", "Send the event as application/json.")
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise _refused(UNSUPPORTED_TYPE, "content_encoding", "Send the event without a content encoding.")
        # The parser below us takes digits only, and not more than 64 bits of them.
        if int(headers.get("content-length", "0")) > self._body_limit_bytes:
            raise self._too_large()

    async def _read(self, receive: Receive, chunks: list[bytes]) -> bytes:
        """Read the body into `chunks`; give it whole."""
        size, more = 0, True
        try:
            async with asyncio.timeout(self._read_timeout_s):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    chunk: bytes = message.get("body", b"")
                    chunks.append(chunk)
                    size += len(chunk)
                    self._held_bytes += len(chunk)
                    more = message.get("more_body", False)
                    if size > self._body_limit_bytes:
                        raise self._too_large()
                    if self._held_bytes > HELD_LIMIT_BYTES:
                        raise _overloaded()
        except TimeoutError:
            detail = f"The body was not complete after {self._read_timeout_s:g} s."
            raise _refused(TOO_SLOW, "too_slow", detail, close=True) from None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _verify(self, body: bytes, headers: Headers) -> str:
        # Two headers of one name, joined as HTTP allows, have a space after the comma: no choice of ours.
        plain = {name: ", ".join(headers.getlist(name)) for name in headers}
        try:
            return self._receiver.verify(body, plain, now_s=self._now_s())
        except SignatureRefused as refusal:
            raise _refused(NOT_SIGNED, refusal.reason, str(refusal)) from None
        except Exception as error:  # noqa: BLE001 - the provider's code may be anybody's; nothing is believed that it trips over
            raise self._tripped(error) from None

    async def _read_event(self, body: bytes) -> ProviderEvent:
        try:
            event = self._receiver.translate(self._receiver.parse(body))
        except BodyRefused as refusal:
            # It was signed, so it is the provider's: kept for a person, less what must not be stored.
            masked = card_numbers.mask(_CLIENT_SECRET.sub("_secret_***", body.decode(errors="replace")))
            await self._quarantine(self._name, masked.encode(), refusal.reason, str(refusal))
            raise _refused(NOT_AN_EVENT, refusal.reason, str(refusal)) from None
        except Exception as error:  # noqa: BLE001 - as above: it is sent again, until the provider's code is mended
            raise self._tripped(error) from None
        if event.disposition is Disposition.MISDIRECTED:
            log.warning("webhook_misdirected", provider=self._name, event_id=event.event_id)
        return event

    def _tripped(self, error: Exception) -> Problem:
        log.error("provider_failed", provider=self._name, code=f"raised:{type(error).__name__}")
        metrics.WEBHOOKS_REFUSED.labels("provider_failed").inc()
        detail = "The event can't be read now: send it again later."
        return Problem(UNAVAILABLE, detail, headers={"Retry-After": str(RETRY_AFTER_S)})

    def _too_large(self) -> Problem:
        return _refused(TOO_LARGE, "too_large", f"A body may have at most {self._body_limit_bytes} bytes.")


async def refuse_unknown(_request: Request) -> Response:
    """Answer the addresses of providers that do not run here, or send nothing. Raises Problem."""
    raise Problem(NOT_FOUND, NO_SUCH_PROVIDER)


def _refused(kind: Kind, reason: str, detail: str, *, close: bool = False) -> Problem:
    metrics.WEBHOOKS_REFUSED.labels(reason).inc()
    log.info("webhook_refused", status=kind.status, reason=reason)
    return Problem(kind, detail, headers={"Connection": "close"} if close else None)


def _overloaded() -> Problem:
    metrics.WEBHOOKS.labels("overloaded").inc()
    detail = "More deliveries are waiting than can be stored soon: send it again later."
    return Problem(UNAVAILABLE, detail, headers={"Retry-After": str(RETRY_AFTER_S)})
