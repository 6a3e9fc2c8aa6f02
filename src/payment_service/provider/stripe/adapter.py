"""The Stripe adapter: words requests, sends one attempt, sorts the answer into the port's classes.

Requests are sent as they were stored, byte for byte, since Stripe answers the same key with another body by an error
(https://docs.stripe.com/api/idempotent_requests). So this speaks HTTP itself; why, and what it costs, is in
docs/decisions/0003-stripe-over-aiohttp.md.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlencode
from uuid import UUID

import aiohttp

from payment_service.config.config import Config
from payment_service.provider.plugins import Plugin
from payment_service.provider.port import CHECKOUTS_MAX, Request, TooLate, Transient, Unknown
from payment_service.provider.stripe.amounts import to_stripe
from payment_service.provider.stripe.answers import Answer, classify, read_date
from payment_service.provider.stripe.checkout import read_checkout
from payment_service.provider.stripe.deliveries import StripeDeliveries
from payment_service.provider.stripe.intents import MalformedIntent, intent_fact
from payment_service.provider.stripe.refunds import REFUNDS, intent_of_refund, join_pages, next_page, refund_form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import SimpleNamespace

    from payment_service.domain.payment import IntentFact
    from payment_service.provider.plugins import ProviderContext
    from payment_service.provider.port import Call, Checkout, Outcome, ProviderEvent
    from payment_service_events.money import Money

API_VERSION: Final = "2026-08-26.dahlia"
# A server that does not take a connection in two seconds is better tried again than waited for.
CONNECT_TIMEOUT_S: Final = 2
# A PaymentIntent has about 3 kB, a page of a hundred 300 kB.
ANSWER_LIMIT_BYTES: Final = 2_097_152
PAGE_SIZE: Final = 100  # Stripe's largest
# Of one intent's refunds: a thousand parts of a payment are more than any shop gives back.
REFUND_PAGES_MAX: Final = 10
# Connections beside those of operations: for listings, and for customers at a checkout.
LISTINGS_MAX: Final = 4
_INTENTS: Final = "/v1/payment_intents"


class Stripe:
    """Stripe's API, and everything that has its address. Holds connections only; one per event loop."""

    name = "stripe"

    def __init__(self, config: Config, *, now_s: Callable[[], float]) -> None:
        self._base = config.stripe_api_base.rstrip("/")
        self._deployment = config.deployment
        self._methods = config.stripe_payment_methods
        self._publishable_key = config.stripe_publishable_key
        self._deliveries = StripeDeliveries.of(config)
        self._now_s = now_s
        self._headers = {
            "Authorization": f"Bearer {config.stripe_secret_key.get_secret_value()}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept-Encoding": "identity",
            "User-Agent": "payment-service",
        }
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_check_time)
        trace.on_request_chunk_sent.append(_check_time)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=config.provider_concurrency + LISTINGS_MAX + CHECKOUTS_MAX, keepalive_timeout=15
            ),
            timeout=aiohttp.ClientTimeout(total=config.provider_timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            trace_configs=[trace],
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close connections."""
        await self._session.close()

    def create_request(
        self, *, payment_id: UUID, order_id: str, amount: Money, manual_capture: bool = False
    ) -> Request:
        """Word the creation of a PaymentIntent (https://docs.stripe.com/api/payment_intents/create)."""
        form = [("amount", str(to_stripe(amount))), ("currency", amount.currency.code)]
        if manual_capture:
            form.append(("capture_method", "manual"))
        form += [(f"payment_method_types[{i}]", method) for i, method in enumerate(self._methods)]
        form += [
            ("metadata[deployment]", self._deployment),
            ("metadata[order_id]", order_id),
            ("metadata[payment_id]", str(payment_id)),
        ]
        return _post(_INTENTS, urlencode(form))

    @staticmethod
    def cancel_request(intent_id: str, *, reason: str = "") -> Request:
        """Word the cancellation of a PaymentIntent (https://docs.stripe.com/api/payment_intents/cancel)."""
        body = urlencode({"cancellation_reason": reason}) if reason else ""
        return _post(f"{_path_of(intent_id)}/cancel", body)

    def capture_request(self, intent_id: str, amount: Money) -> Request:
        """Word the capture of a PaymentIntent (https://docs.stripe.com/api/payment_intents/capture)."""
        return _post(f"{_path_of(intent_id)}/capture", urlencode({"amount_to_capture": to_stripe(amount)}))

    @staticmethod
    def retrieve_request(intent_id: str) -> Request:
        """Word the reading of a PaymentIntent."""
        return _get(_path_of(intent_id))

    def refund_request(
        self, intent_id: str, *, refund_id: UUID, payment_id: UUID, amount: Money, reason: str
    ) -> Request:
        """Word the creation of a Refund (https://docs.stripe.com/api/refunds/create)."""
        return _post(REFUNDS, refund_form(intent_id, refund_id, payment_id, to_stripe(amount), reason))

    @staticmethod
    def refunds_request(intent_id: str) -> Request:
        """Word the reading of an intent's refunds (https://docs.stripe.com/api/refunds/list)."""
        return _get(f"{REFUNDS}?{urlencode({'payment_intent': intent_id, 'limit': PAGE_SIZE})}")

    def lookup_request(self, request: Request) -> Request:
        """Word the reading of the PaymentIntent that `/v1/payment_intents/{id}/…` names, or of a refund's intent's refunds."""
        if request.path.startswith(REFUNDS):
            return self.refunds_request(intent_of_refund(request))
        return self.retrieve_request(unquote(request.path.removeprefix(f"{_INTENTS}/").partition("/")[0]))

    def verify(self, body: bytes, headers: Mapping[str, str], *, now_s: int) -> str:
        """Check a delivery's signature. Raises SignatureRefused."""
        return self._deliveries.verify(body, headers, now_s=now_s)

    def parse(self, body: bytes) -> dict[str, Any]:
        """Read a delivery. Raises BodyRefused."""
        return self._deliveries.parse(body)

    def translate(self, event: dict[str, Any]) -> ProviderEvent:
        """Say what an event means to the payments of this deployment."""
        return self._deliveries.translate(event)

    async def send(self, call: Call) -> Outcome:
        """Make one attempt and sort its answer."""
        try:
            answer = await self._exchange(
                call.request, idempotency_key=call.idempotency_key, refuse_late=call.refuse_late
            )
            if call.request.method == "GET" and call.request.path.startswith(REFUNDS):
                answer = await self._read_on(call.request, answer)
        except TooLate:
            raise
        except aiohttp.ClientConnectorError as error:
            return Transient(code=f"not_connected:{type(error.os_error).__name__}", retry_after_s=0)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Unknown(code=f"connection:{type(error).__name__}")
        return classify(call, answer, deployment=self._deployment, now_s=self._now_s())

    async def checkout(self, intent_id: str) -> Checkout | Transient:
        """Read an intent with its client secret (https://docs.stripe.com/api/payment_intents/retrieve)."""
        try:
            answer = await self._exchange(self.retrieve_request(intent_id))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Transient(code=f"connection:{type(error).__name__}", retry_after_s=0)
        return read_checkout(answer, intent_id, publishable_key=self._publishable_key, now_s=self._now_s())

    async def find_intents(
        self, *, created_from: int, created_to: int, limit: int
    ) -> Mapping[UUID, tuple[IntentFact | None, ...]] | None:
        """List our intents of a window. Lists are immediately consistent (https://docs.stripe.com/api-v2-overview); search is not."""
        found: dict[UUID, tuple[IntentFact | None, ...]] = {}
        after = ""
        for _ in range(0, limit, PAGE_SIZE):
            page = await self._list_page(created_from, created_to, after)
            if page is None:
                return None
            intents, at, more = page
            for intent in intents:
                self._note(found, intent, at)
            if not more:
                return found
            after = intents[-1]["id"]
        return None

    def _note(self, found: dict[UUID, tuple[IntentFact | None, ...]], intent: dict[str, Any], at: int) -> None:
        """Note an intent that bears our name; None for one that can't be read, since it is there all the same."""
        metadata = intent.get("metadata") or {}
        if metadata.get("deployment") != self._deployment:
            return
        try:
            payment_id = UUID(metadata["payment_id"])
        except (KeyError, ValueError, TypeError, AttributeError):
            return
        try:
            fact = intent_fact(intent, at=at, source=f"list:{intent['id']}", from_event=False)
        except MalformedIntent:
            fact = None
        found[payment_id] = (*found.get(payment_id, ()), fact)

    async def _list_page(
        self, created_from: int, created_to: int, after: str
    ) -> tuple[list[dict[str, Any]], int, bool] | None:
        query = {"created[gte]": str(created_from), "created[lte]": str(created_to), "limit": str(PAGE_SIZE)}
        if after:
            query["starting_after"] = after
        try:
            answer = await self._exchange(_get(f"{_INTENTS}?{urlencode(query)}"))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        if answer.status != 200 or not isinstance(answer.body, dict) or not isinstance(answer.body.get("data"), list):
            return None
        return answer.body["data"], read_date(answer, self._now_s()), bool(answer.body.get("has_more"))

    async def _read_on(self, request: Request, answer: Answer) -> Answer:
        """Add the pages that follow one of refunds. Where one can't be read, the list goes on saying that there is more."""
        following = next_page(request, answer.body)
        for _ in range(1, REFUND_PAGES_MAX):
            if following is None:
                break
            more = await self._exchange(following)
            if more.status != 200 or (joined := join_pages(answer.body, more.body)) is None:
                break
            answer = replace(answer, body=joined)
            following = next_page(request, more.body)
        return answer

    async def _exchange(
        self, request: Request, *, idempotency_key: str = "", refuse_late: Callable[[], None] | None = None
    ) -> Answer:
        headers = {**self._headers, "Stripe-Version": request.api_version}
        if request.method == "POST":
            headers["Idempotency-Key"] = idempotency_key
        data = request.body.encode() if request.method == "POST" else None
        async with self._session.request(
            request.method,
            self._base + request.path,
            data=data,
            headers=headers,
            allow_redirects=False,
            trace_request_ctx=refuse_late,
        ) as response:
            content = await _read_limited(response)
            return Answer(status=response.status, headers=response.headers, body=_parse(content))


def _path_of(intent_id: str) -> str:
    return f"{_INTENTS}/{quote(intent_id, safe='')}"


def _post(path: str, body: str) -> Request:
    return Request(method="POST", path=path, body=body, api_version=API_VERSION)


def _get(path: str) -> Request:
    return Request(method="GET", path=path, body="", api_version=API_VERSION)


def _make(config: Config, context: ProviderContext) -> Stripe:
    return Stripe(config, now_s=context.now_s)


PLUGIN: Final = Plugin(settings=Config, make=_make)


async def _check_time(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _params: aiohttp.TraceRequestHeadersSentParams | aiohttp.TraceRequestChunkSentParams,
) -> None:
    """Called with a connection in hand, and again just before the first byte is written.

    The client keeps headers back until the body goes out, in a task that may run later; a refusal there reads as a connection
    that failed, which is never taken for an answer.
    """
    if (refuse_late := context.trace_request_ctx) is not None:
        refuse_late()


async def _read_limited(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > ANSWER_LIMIT_BYTES:
            message = f"the answer is larger than {ANSWER_LIMIT_BYTES} bytes"
            raise aiohttp.ClientPayloadError(message)
    return bytes(content)


def _parse(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
