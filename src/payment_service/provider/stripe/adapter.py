"""The Stripe adapter: build requests, send attempts and classify the responses as outcomes of the port.

Requests are sent byte for byte as stored, because Stripe rejects a reused key with another body
(https://docs.stripe.com/api/idempotent_requests). Therefore this module uses HTTP directly.
`docs/decisions/0003-stripe-over-aiohttp.md` gives the reasons and costs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlencode, urlsplit
from uuid import UUID

import aiohttp

from payment_service.config.config import Config
from payment_service.provider.plugins import Plugin
from payment_service.provider.port import Request, TooLate, Transient, Unknown
from payment_service.provider.stripe import times
from payment_service.provider.stripe.amounts import to_stripe
from payment_service.provider.stripe.api_versions import API_VERSION
from payment_service.provider.stripe.checkout import read_checkout
from payment_service.provider.stripe.claim import claim
from payment_service.provider.stripe.dashboard import DASHBOARD
from payment_service.provider.stripe.deliveries import StripeDeliveries
from payment_service.provider.stripe.disputes import list_disputes
from payment_service.provider.stripe.http_client import open_client
from payment_service.provider.stripe.intents import (
    INTENTS,
    UNKNOWN_STATUS,
    MalformedIntent,
    intent_fact,
    intent_path,
    is_foreign,
    retrieve_intent,
)
from payment_service.provider.stripe.list_pages import PAGE_SIZE, created_between, read_page
from payment_service.provider.stripe.object_lists import list_path, read_objects, read_one, read_path
from payment_service.provider.stripe.pay import StripePay
from payment_service.provider.stripe.recent_events import EVENTS_KEPT, read_recent_events
from payment_service.provider.stripe.refunds import (
    REFUNDS,
    intent_of_refund,
    join_pages,
    list_refunds,
    next_page,
    refund_form,
)
from payment_service.provider.stripe.responses import Response, classify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import SimpleNamespace

    from payment_service.domain.payment import IntentFact
    from payment_service.provider.account_claims import ClaimAnswer, Installation
    from payment_service.provider.listed_objects import ListedObject, ListedPage, NoObject, ObjectKind
    from payment_service.provider.plugins import ProviderContext
    from payment_service.provider.port import Call, Checkout, EventPage, Outcome, ProviderEvent
    from payment_service_events.money import Money

# A PaymentIntent with its charge has about 8 kB, a page of a hundred 800 kB.
ANSWER_LIMIT_BYTES: Final = 2_097_152
# A thousand refunds of one intent, more than any shop makes.
REFUND_PAGES_MAX: Final = 10


class Stripe:
    """Stripe's API. Holds connections only; one instance per event loop."""

    name = "stripe"
    events_kept = EVENTS_KEPT

    def __init__(self, config: Config, *, now_s: Callable[[], float], installation: str = "") -> None:
        self._base = config.stripe_api_base.rstrip("/")
        self._deployment = config.deployment
        self._installation = installation
        self.livemode = config.stripe_livemode
        self._methods = config.stripe_payment_methods
        self._publishable_key = config.stripe_publishable_key
        self._deliveries = StripeDeliveries.of(config, installation=installation)
        self._now_s = now_s
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_refuse_if_late)
        trace.on_request_chunk_sent.append(_refuse_if_late)
        self._session = open_client(config, traces=[trace])

    async def close(self) -> None:
        """Close connections."""
        await self._session.close()

    def create_request(
        self,
        *,
        payment_id: UUID,
        order_id: str,
        amount: Money,
        manual_capture: bool = False,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> Request:
        """Build the creation of a PaymentIntent (https://docs.stripe.com/api/payment_intents/create)."""
        form = [("amount", str(to_stripe(amount))), ("currency", amount.currency.code)]
        if manual_capture:
            form.append(("capture_method", "manual"))
        form += [(f"payment_method_types[{i}]", method) for i, method in enumerate(self._methods)]
        # Stripe takes an empty value for the removal of its name.
        form += [(f"metadata[{name}]", value) for name, value in metadata.items() if value]
        form += [
            ("metadata[deployment]", self._deployment),
            *([("metadata[installation]", self._installation)] if self._installation else []),
            ("metadata[order_id]", order_id),
            ("metadata[payment_id]", str(payment_id)),
        ]
        return _post(INTENTS, urlencode(form))

    @staticmethod
    def cancel_request(intent_id: str, *, reason: str = "") -> Request:
        """Build the cancellation of a PaymentIntent (https://docs.stripe.com/api/payment_intents/cancel)."""
        body = urlencode({"cancellation_reason": reason}) if reason else ""
        return _post(f"{intent_path(intent_id)}/cancel", body)

    def capture_request(self, intent_id: str, amount: Money) -> Request:
        """Build the capture of a PaymentIntent (https://docs.stripe.com/api/payment_intents/capture)."""
        return _post(f"{intent_path(intent_id)}/capture", urlencode({"amount_to_capture": to_stripe(amount)}))

    @staticmethod
    def retrieve_request(intent_id: str) -> Request:
        """Build the retrieval of a PaymentIntent with its charge, which has the times that are published."""
        return retrieve_intent(intent_id)

    def refund_request(
        self, intent_id: str, *, refund_id: UUID, payment_id: UUID, amount: Money, reason: str
    ) -> Request:
        """Build the creation of a Refund (https://docs.stripe.com/api/refunds/create)."""
        return _post(REFUNDS, refund_form(intent_id, refund_id, payment_id, to_stripe(amount), reason))

    @staticmethod
    def refunds_request(intent_id: str) -> Request:
        """Build the list of an intent's refunds (https://docs.stripe.com/api/refunds/list)."""
        return list_refunds(intent_id)

    @staticmethod
    def disputes_request(intent_id: str) -> Request:
        """Build the list of an intent's disputes (https://docs.stripe.com/api/disputes/list)."""
        return list_disputes(intent_id)

    def lookup_request(self, request: Request) -> Request:
        """Build the retrieval of the PaymentIntent in `/v1/payment_intents/{id}/…`, or the list of refunds of a
        refund's intent.
        """
        if request.path.startswith(REFUNDS):
            return self.refunds_request(intent_of_refund(request))
        name = urlsplit(request.path).path.removeprefix(f"{INTENTS}/").partition("/")[0]
        return self.retrieve_request(unquote(name))

    def verify(self, body: bytes, headers: Mapping[str, str], *, now_s: int) -> str:
        """Verify a delivery's signature. Raise SignatureRefused."""
        return self._deliveries.verify(body, headers, now_s=now_s)

    def parse(self, body: bytes) -> dict[str, Any]:
        """Parse a delivery. Raise BodyRefused."""
        return self._deliveries.parse(body)

    def translate(self, event: dict[str, Any]) -> ProviderEvent:
        """Translate an event for this deployment."""
        return self._deliveries.translate(event)

    async def send(self, call: Call) -> Outcome:
        """Make one attempt and classify its response."""
        try:
            response = await self._exchange(
                call.request, idempotency_key=call.idempotency_key, refuse_late=call.refuse_late
            )
            if call.request.method == "GET" and call.request.path.startswith(REFUNDS):
                response = await self._read_following_pages(call.request, response)
        except TooLate:
            raise
        except aiohttp.ClientConnectorError as error:
            return Transient(code=f"not_connected:{type(error.os_error).__name__}", retry_after_s=0)
        except aiohttp.ClientHttpProxyError as error:  # the proxy opened no tunnel, so nothing was sent
            return Transient(code=f"not_connected:proxy_{error.status}", retry_after_s=0)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Unknown(code=f"connection:{type(error).__name__}")
        return classify(
            call, response, deployment=self._deployment, installation=self._installation, now_s=self._now_s()
        )

    async def claim(self, installation: Installation, *, move: bool = False) -> ClaimAnswer:
        """Claim the deployment name at the account, or check the claim."""

        async def exchange(method: str, path: str, body: str, key: str) -> Response:
            request = Request(method=method, path=path, body=body, api_version=API_VERSION)
            return await self._exchange(request, idempotency_key=key)

        return await claim(exchange, installation, move=move)

    async def checkout(self, intent_id: str) -> Checkout | Transient:
        """Read an intent with its client secret (https://docs.stripe.com/api/payment_intents/retrieve)."""
        try:
            response = await self._exchange(self.retrieve_request(intent_id))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Transient(code=f"connection:{type(error).__name__}", retry_after_s=0)
        return read_checkout(response, intent_id, publishable_key=self._publishable_key, now_s=self._now_s())

    async def list_objects(
        self, kind: ObjectKind, *, created_from: int, created_to: int, after: str
    ) -> ListedPage | Transient:
        """List a page of objects for reconciliation."""
        path = list_path(kind, created_from=created_from, created_to=created_to, after=after)
        response = await self._read(path)
        return (
            response
            if isinstance(response, Transient)
            else read_objects(kind, response, installation=self._installation, now_s=self._now_s(), after=after)
        )

    async def read_object(self, kind: ObjectKind, object_id: str) -> ListedObject | NoObject | Transient:
        """Read an object for reconciliation."""
        response = await self._read(read_path(kind, object_id))
        if isinstance(response, Transient):
            return response
        return read_one(kind, object_id, response, installation=self._installation, now_s=self._now_s())

    async def _read(self, path: str) -> Response | Transient:
        try:
            return await self._exchange(_get(path))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Transient(code=f"connection:{type(error).__name__}", retry_after_s=0)

    async def find_intents(
        self, *, created_from: int, created_to: int, limit: int
    ) -> Mapping[UUID, tuple[IntentFact | None, ...]] | None:
        """List our intents of a window. Lists are immediately consistent (https://docs.stripe.com/api-v2-overview);
        search is not.
        """
        found: dict[UUID, tuple[IntentFact | None, ...]] = {}
        window = created_between(created_from, created_to) | {"expand[]": f"data.{times.EXPANDED}"}
        after = ""
        for _ in range(0, limit, PAGE_SIZE):
            page = await read_page(self._get, INTENTS, window, now_s=self._now_s(), after=after)
            if isinstance(page, Transient):
                return None
            for intent in page.objects:
                self._add_listed(found, intent, page.at)
            if not page.has_more:
                return found
            after = page.last_id
        return None

    async def recent_events(
        self, *, created_from: int, created_to: int | None, after: str = "", undelivered: bool = False
    ) -> EventPage | Transient:
        """Read a page of the events of a window."""
        return await read_recent_events(
            self._get,
            self._deliveries,
            created_from=created_from,
            created_to=created_to,
            after=after,
            undelivered=undelivered,
            now_s=self._now_s(),
        )

    def _add_listed(self, found: dict[UUID, tuple[IntentFact | None, ...]], intent: dict[str, Any], at: int) -> None:
        """Add an intent with our metadata. Add None for one that cannot be parsed, because it exists nevertheless."""
        metadata = intent.get("metadata") or {}
        if metadata.get("deployment") != self._deployment or is_foreign(metadata, self._installation):
            return
        try:
            payment_id = UUID(metadata["payment_id"])
        except (KeyError, ValueError, TypeError, AttributeError):
            return
        try:
            fact = intent_fact(
                intent, at=at, source=f"list:{intent['id']}", from_event=False, unknown_status=UNKNOWN_STATUS
            )
        except MalformedIntent:
            fact = None
        found[payment_id] = (*found.get(payment_id, ()), fact)

    async def _get(self, path: str) -> Response:
        return await self._exchange(_get(path))

    async def _read_following_pages(self, request: Request, response: Response) -> Response:
        """Append the following pages of refunds. If one fails, `has_more` stays true in the result."""
        following = next_page(request, response.body)
        for _ in range(1, REFUND_PAGES_MAX):
            if following is None:
                break
            more = await self._exchange(following)
            if more.status != 200 or (joined := join_pages(response.body, more.body)) is None:
                break
            response = replace(response, body=joined)
            following = next_page(request, more.body)
        return response

    async def _exchange(
        self, request: Request, *, idempotency_key: str = "", refuse_late: Callable[[], None] | None = None
    ) -> Response:
        headers = {"Stripe-Version": request.api_version}
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
        ) as reply:
            content = await _read_limited(reply)
            return Response(status=reply.status, headers=reply.headers, body=_parse(content))


def _post(path: str, body: str) -> Request:
    return Request(method="POST", path=path, body=body, api_version=API_VERSION)


def _get(path: str) -> Request:
    return Request(method="GET", path=path, body="", api_version=API_VERSION)


def _make(config: Config, context: ProviderContext) -> Stripe:
    return Stripe(config, now_s=context.now_s, installation=context.installation)


PLUGIN: Final = Plugin(settings=Config, make=_make, pay=StripePay, dashboard=DASHBOARD)


async def _refuse_if_late(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _params: aiohttp.TraceRequestHeadersSentParams | aiohttp.TraceRequestChunkSentParams,
) -> None:
    """Run once when a connection is available, and again just before the first byte is written.

    The client buffers headers until the body is sent, in a task that may run later. A refusal at that point looks like
    a failed connection, which never counts as a response.
    """
    if (refuse_late := context.trace_request_ctx) is not None:
        refuse_late()


async def _read_limited(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > ANSWER_LIMIT_BYTES:
            message = f"the response is larger than {ANSWER_LIMIT_BYTES} bytes"
            raise aiohttp.ClientPayloadError(message)
    return bytes(content)


def _parse(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
