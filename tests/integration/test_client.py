"""The Python client with a real service: every operation, and changes that are made once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from payment_service_client import (
    AsyncPaymentServiceClient,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PaymentServiceClient,
    UnauthenticatedError,
)
from tests.support.harness import Harness

README = Path(__file__).parents[2] / "packages" / "payment-service-client" / "README.md"


def client(harness: Harness, **options: Any) -> PaymentServiceClient:
    return PaymentServiceClient(f"http://127.0.0.1:{harness.port}/", harness.key, **options)


async def using(harness: Harness, use: Callable[[PaymentServiceClient], Any], **options: Any) -> Any:
    """Call the service from a thread: it runs in this one."""

    def call() -> Any:
        with client(harness, **options) as service:
            return use(service)

    return await asyncio.to_thread(call)


class LosesTheFirstAnswer(httpx.HTTPTransport):
    """A network that carries the first request to the service and loses the answer."""

    lost = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if request.method == "POST" and not self.lost:
            self.lost += 1
            response.read()
            response.close()
            raise httpx.ReadTimeout("timed out", request=request)
        return response


async def test_a_refund_whose_answer_is_lost_is_made_once(harness: Harness) -> None:
    payment = await harness.pay("order-1001")
    with httpx.Client(transport=LosesTheFirstAnswer()) as http:
        refund = await using(harness, lambda service: service.refund_payment(payment, amount="5.00"), http=http)
    listed = await using(harness, lambda service: list(service.list_payment_refunds(payment)))
    assert [(found["id"], found["amount"]) for found in listed] == [(refund["id"], "5.00")]


async def test_every_operation_answers_what_its_type_says(harness: Harness) -> None:
    paid = await harness.pay("order-1001")
    await harness.flows.accept("order-1002")
    await harness.flows.accept("order-1004", capture_method="manual")
    await harness.flows.run_calls()

    def use(service: PaymentServiceClient) -> None:
        assert service.read_checkout(order_id="order-1002")["next"] == "pay"
        [listed] = service.list_payments(order_id="order-1001", created_from=datetime.now(UTC) - timedelta(hours=1))
        payment = service.read_payment(paid)
        assert (listed["id"], payment["status"], payment["refunds"]["data"]) == (str(paid), "succeeded", [])
        refund = service.refund_payment(paid, amount="5.00", reason="duplicate", metadata={"ticket": "4711"})
        assert service.read_refund(refund["id"])["metadata"] == {"ticket": "4711"}
        assert "order" in {entry["kind"] for entry in service.read_payment_timeline(paid)}
        assert list(service.list_payment_disputes(paid)) == []
        assert "payment_intent.succeeded" in {event["type"] for event in service.list_payment_events(paid)}
        assert service.list_reconciliations(limit=1).page()["has_more"] is False
        [held] = service.list_payments(order_id="order-1004")
        [unpaid] = service.list_payments(order_id="order-1002")
        assert service.cancel_payment(unpaid["id"])["order_id"] == "order-1002"
        with pytest.raises(ConflictError) as early:
            service.capture_payment(held["id"], amount="5.00")
        assert early.value.code == "not_allowed"
        with pytest.raises(ConflictError) as open_still:
            service.open_payment(order_id="order-1001")
        assert open_still.value.detail

    await using(harness, use)


async def test_pages_follow_each_other_without_gap(harness: Harness) -> None:
    names = [f"order-{number}" for number in range(7)]
    for name in names:
        await harness.flows.accept(name)
    found = await using(harness, lambda service: [one["order_id"] for one in service.list_payments(limit=3)])
    assert sorted(found) == names
    async with AsyncPaymentServiceClient(f"http://127.0.0.1:{harness.port}", harness.key) as service:
        assert [one["order_id"] async for one in service.list_payments(limit=2)] == found
        page = await service.list_payments(limit=2).page()
        assert ([one["order_id"] for one in page["data"]], page["has_more"]) == (found[:2], True)


async def test_refusals_are_typed(harness: Harness) -> None:
    def use(service: PaymentServiceClient) -> None:
        with pytest.raises(NotFoundError, match="There is no payment with this id"):
            service.read_payment(uuid4())
        with pytest.raises(InvalidRequestError, match="limit: must be at most 100"):
            service.list_payments(limit=1000).page()

    def intrude(_: PaymentServiceClient) -> None:
        url = f"http://127.0.0.1:{harness.port}"
        with PaymentServiceClient(url, "psk_wrong") as stranger, pytest.raises(UnauthenticatedError):
            stranger.read_checkout(order_id="order-1")

    await using(harness, intrude)
    await using(harness, use)


async def test_the_readme_prints_what_it_says(harness: Harness) -> None:
    blocks = re.findall(r"```(python|text)\n(.*?)```", README.read_text(), re.DOTALL)
    (_, example), (_, printed), (_, coroutine), (_, refunded), (_, pages) = blocks
    url = f"http://127.0.0.1:{harness.port}"
    lines: list[str] = []
    # The service logs to the same output.
    names: dict[str, Any] = {"print": lambda *words: lines.append(f"{' '.join(map(str, words))}\n")}
    await harness.flows.accept("order-1001")
    await harness.flows.run_calls()
    await asyncio.to_thread(exec, example, {**names, "url": url, "api_key": harness.key})
    assert "".join(lines) == printed
    lines.clear()
    payment = await harness.pay("order-1003")
    exec(coroutine, names)  # noqa: S102 - our own README
    await names["refund"](url, harness.key, str(payment))
    assert "".join(lines) == refunded
    await using(harness, lambda service: exec(pages, {"service": service}))  # noqa: S102 - our own README
