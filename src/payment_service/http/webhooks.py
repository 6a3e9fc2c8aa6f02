"""`POST /webhooks/{provider}`: read, verify, translate and store an event. Answer 200 only once the event is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response

from payment_service.domain.guard import clean
from payment_service.http.problems import (
    NOT_AN_EVENT,
    NOT_FOUND,
    NOT_SIGNED,
    TOO_LARGE,
    TOO_SLOW,
    UNAVAILABLE,
    UNSUPPORTED_TYPE,
    Problem,
    ProblemType,
)
from payment_service.provider.port import BodyRefused, Disposition, SignatureRefused
from payment_service.rate_limiter import RateLimiter
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from payment_service.provider.port import ProviderEvent, WebhookReceiver

log = structlog.get_logger(__name__)

# Enough for a body of the maximum size over a slow line. Stripe sends its few kilobytes at once.
READ_TIMEOUT_S: Final = 10.0
# Less than a second of work at the rate of one process. Later deliveries are better sent again, which Stripe does.
WAITING_MAX: Final = 2_048
# Total size of the bodies in memory. It keeps a few hundred large ones from exhausting the process's 150 MB.
BUFFER_LIMIT_BYTES: Final = 33_554_432
RETRY_AFTER_S: Final = 5
# A forged delivery is a single one. Five refusals without a good delivery between them mean a wrong secret.
REFUSED_IN_A_ROW_MAX: Final = 5
WARNING_INTERVAL_S: Final = 60.0

RECEIVED: Final = Response(b'{"received":true}', media_type="application/json")

StoreEvent = Callable[["ProviderEvent", str], Awaitable[None]]
Quarantine = Callable[[str, bytes, str, str], Awaitable[None]]


NO_SUCH_PROVIDER: Final = "No provider with this name sends webhooks to this service."


class _Disconnected(Exception):
    """The sender closed the connection before the body was complete."""


class WebhookEndpoint:
    """An ASGI app for the webhooks of the provider `name`.

    `store_event(event, verified_by)` returns once the event is durable. `quarantine(provider, body, reason, detail)` stores a
    signed body that cannot be read. Both may raise Unavailable, which is answered with 503: the provider sends the
    event again. `now_s`: the database's clock, seconds, which decides the age of a signature.
    """

    def __init__(
        self,
        *,
        name: str,
        receiver: WebhookReceiver,
        body_limit_bytes: int,
        store_event: StoreEvent,
        quarantine: Quarantine,
        now_s: Callable[[], int],
        read_timeout_s: float = READ_TIMEOUT_S,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._name = name
        self._receiver = receiver
        self._body_limit_bytes = body_limit_bytes
        self._store_event = store_event
        self._quarantine = quarantine
        self._now_s = now_s
        self._read_timeout_s = read_timeout_s
        self._waiting_max = waiting_max
        self._refused_in_a_row = 0
        self._warned = RateLimiter(burst=1, every_s=WARNING_INTERVAL_S)
        self._waiting = 0
        self._buffered_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one delivery."""
        if self._waiting >= self._waiting_max:
            raise _overloaded()
        headers = Headers(scope=scope)
        self._check_head(headers)
        chunks: list[bytes] = []
        self._waiting += 1
        try:
            body = await self._read(receive, chunks)
            label = self._verify(body, headers)
            await self._store_event(await self._read_event(body), label)
        except _Disconnected:
            metrics.WEBHOOKS_REFUSED.labels("gone").inc()
            return
        finally:
            self._waiting -= 1
            self._buffered_bytes -= sum(map(len, chunks))
        await RECEIVED(scope, receive, send)

    def begin(self, body: bytes, headers: Mapping[str, str]) -> asyncio.Future[None] | None:
        """Verify and translate a whole delivery and start to store it. Return when it is durable.

        Return None if the delivery has to be refused. Nothing was done then, and the app answers it.
        """
        too_much = len(body) > self._body_limit_bytes or self._buffered_bytes + len(body) > BUFFER_LIMIT_BYTES
        if too_much or self._waiting >= self._waiting_max or not _is_json(headers):
            return None
        try:
            label = self._receiver.verify(body, headers, now_s=self._now_s())
            event = self._receiver.translate(self._receiver.parse(body))
        except Exception:  # noqa: BLE001 - the app repeats it, and says why it refuses
            return None
        self._end_refusals()
        self._warn_if_misdirected(event)
        self._waiting += 1
        self._buffered_bytes += len(body)
        stored = asyncio.ensure_future(self._store_event(event, label))
        stored.add_done_callback(partial(self._end, len(body)))
        return stored

    def _end(self, size: int, _stored: asyncio.Future[None]) -> None:
        self._waiting -= 1
        self._buffered_bytes -= size

    def _check_head(self, headers: Headers) -> None:
        if not _is_json(headers):
            raise _refused(UNSUPPORTED_TYPE, "content_type", "Send the event as application/json.")
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise _refused(UNSUPPORTED_TYPE, "content_encoding", "Send the event without a content encoding.")
        # The HTTP parser accepts only digits, up to 64 bits.
        if int(headers.get("content-length", "0")) > self._body_limit_bytes:
            raise self._too_large()

    async def _read(self, receive: Receive, chunks: list[bytes]) -> bytes:
        """Read the body into `chunks` and return it as a whole."""
        size, more = 0, True
        try:
            async with asyncio.timeout(self._read_timeout_s):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Disconnected
                    chunk: bytes = message.get("body", b"")
                    chunks.append(chunk)
                    size += len(chunk)
                    self._buffered_bytes += len(chunk)
                    more = message.get("more_body", False)
                    if size > self._body_limit_bytes:
                        raise self._too_large()
                    if self._buffered_bytes > BUFFER_LIMIT_BYTES:
                        raise _overloaded()
        except TimeoutError:
            detail = f"The body was not complete after {self._read_timeout_s:g} s."
            raise _refused(TOO_SLOW, "too_slow", detail, close=True) from None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _verify(self, body: bytes, headers: Headers) -> str:
        # HTTP allows repeated headers to be joined with a comma. The space after it follows Starlette and proxies.
        plain = {name: ", ".join(headers.getlist(name)) for name in headers}
        try:
            label = self._receiver.verify(body, plain, now_s=self._now_s())
        except SignatureRefused as refusal:
            self._count_refused(refusal.reason)
            raise _refused(NOT_SIGNED, refusal.reason, str(refusal)) from None
        except Exception as error:  # noqa: BLE001 - the provider's code may be anybody's; nothing is believed that it trips over
            raise self._provider_failed(error) from None
        self._end_refusals()
        return label

    def _end_refusals(self) -> None:
        if self._refused_in_a_row:
            self._refused_in_a_row = 0
            metrics.WEBHOOKS_REFUSED_IN_A_ROW.set(0)

    def _count_refused(self, reason: str) -> None:
        """Tell a wrong secret, which refuses every delivery, from a forged one. A body without a signature proves neither."""
        if reason not in metrics.SIGNATURE_REFUSALS:
            return
        self._refused_in_a_row += 1
        metrics.WEBHOOKS_REFUSED_IN_A_ROW.set(self._refused_in_a_row)
        if self._refused_in_a_row >= REFUSED_IN_A_ROW_MAX and self._warned.allows(self._name):
            log.warning(
                "webhooks_all_refused",
                provider=self._name,
                in_a_row=self._refused_in_a_row,
                reason=reason,
                fix="compare the signing secret in the settings with the endpoint's at the provider, and the database's clock",
            )

    async def _read_event(self, body: bytes) -> ProviderEvent:
        try:
            event = self._receiver.translate(self._receiver.parse(body))
        except BodyRefused as refusal:
            # A signed body comes from the provider: quarantine it for an operator, without data that must not be
            # stored.
            cleaned = clean(body.decode(errors="replace"))
            await self._quarantine(self._name, cleaned.encode(), refusal.reason, str(refusal))
            raise _refused(NOT_AN_EVENT, refusal.reason, str(refusal)) from None
        except Exception as error:  # noqa: BLE001 - as above: the provider sends it again, until its code is fixed
            raise self._provider_failed(error) from None
        self._warn_if_misdirected(event)
        return event

    def _warn_if_misdirected(self, event: ProviderEvent) -> None:
        if event.disposition is Disposition.MISDIRECTED:
            log.warning("webhook_misdirected", provider=self._name, event_id=event.event_id)

    def _provider_failed(self, error: Exception) -> Problem:
        log.error("provider_failed", provider=self._name, code=f"raised:{type(error).__name__}")
        metrics.WEBHOOKS_REFUSED.labels("provider_failed").inc()
        detail = "The event cannot be read now: send it again later."
        return Problem(UNAVAILABLE, detail, headers={"Retry-After": str(RETRY_AFTER_S)})

    def _too_large(self) -> Problem:
        return _refused(TOO_LARGE, "too_large", f"A body may have at most {self._body_limit_bytes} bytes.")


def _is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def refuse_unknown(_request: Request) -> Response:
    """Refuse paths of unknown providers and of providers without webhooks. Raises Problem."""
    raise Problem(NOT_FOUND, NO_SUCH_PROVIDER)


def _refused(problem_type: ProblemType, reason: str, detail: str, *, close: bool = False) -> Problem:
    metrics.WEBHOOKS_REFUSED.labels(reason).inc()
    log.info("webhook_refused", status=problem_type.status, reason=reason)
    return Problem(problem_type, detail, headers={"Connection": "close"} if close else None)


def _overloaded() -> Problem:
    metrics.WEBHOOKS.labels("overloaded").inc()
    detail = "Too many deliveries are waiting to be stored: send it again later."
    return Problem(UNAVAILABLE, detail, headers={"Retry-After": str(RETRY_AFTER_S)})
