"""The Python client against scripted answers: retries, idempotency keys, errors and pages."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from payment_service_client import (
    ApiError,
    AsyncPaymentServiceClient,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    PaymentServiceClient,
    PaymentServiceError,
    ServerError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
)
from scripts import generate_client

URL = "http://payments.test:8082"
PAYMENT = "ae21913b-5b2f-5c29-8abf-153dfb1cfa87"
PAID = httpx.Response(201, json={"id": PAYMENT})

Answer = httpx.Response | type[httpx.TransportError]
Run = Callable[[Callable[[Any], Any]], Any]


class Script:
    """A transport that gives these answers in order, and keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, type):
            raise answer("connection reset")
        # A response belongs to one request.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def keys(self) -> list[str | None]:
        """The idempotency keys of the requests."""
        return [request.headers.get("idempotency-key") for request in self.requests]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the list of waits, which end at once."""
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("payment_service_client.client.time.sleep", waited.append)
    monkeypatch.setattr("payment_service_client.client.asyncio.sleep", wait)
    return waited


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, waits: list[float]) -> Callable[..., tuple[Script, Run]]:
    """Return a function that opens a client with a script; `run` calls a method and returns its result."""

    def start(*answers: Answer, **options: Any) -> tuple[Script, Run]:
        script = Script(*answers)
        transport = httpx.MockTransport(script)

        def run_sync(use: Callable[[Any], Any]) -> Any:
            with (
                httpx.Client(transport=transport) as http,
                PaymentServiceClient(URL, "psk_1", http=http, **options) as service,
            ):
                return use(service)

        async def use_async(use: Callable[[Any], Any]) -> Any:
            async with (
                httpx.AsyncClient(transport=transport) as http,
                AsyncPaymentServiceClient(URL, "psk_1", http=http, **options) as service,
            ):
                return await use(service)

        return script, run_sync if request.param == "sync" else lambda use: asyncio.run(use_async(use))

    return start


Start = Callable[..., tuple[Script, Run]]


def problem(status: int, slug: str, **headers: str) -> httpx.Response:
    content = {"type": f"urn:payment-service:{slug}", "title": "A title", "status": status, "detail": "A sentence."}
    return httpx.Response(status, json=content, headers=headers)


def refund(service: Any) -> Any:
    return service.refund_payment(PAYMENT, amount="5.00", metadata={"ticket": "4711"})


def test_a_change_is_one_request_with_a_new_key_and_only_the_given_fields(client: Start) -> None:
    script, run = client(PAID, PAID)
    assert run(refund) == {"id": PAYMENT}
    run(refund)
    [first, _] = script.requests
    assert (first.method, str(first.url)) == ("POST", f"{URL}/v1/payments/{PAYMENT}/refunds")
    assert json.loads(first.content) == {"amount": "5.00", "metadata": {"ticket": "4711"}}
    assert first.headers["authorization"] == "Bearer psk_1"
    assert len(set(script.keys)) == 2
    assert all(re.fullmatch(r"[!-~]{1,255}", key or "") for key in script.keys)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError,
        httpx.ReadTimeout,
        httpx.RemoteProtocolError,
        problem(429, "too_many_requests"),
        httpx.Response(502, text="<html>"),
        problem(503, "unavailable"),
        httpx.Response(504, text=""),
        problem(409, "in_progress", **{"retry-after": "1"}),
    ],
)
def test_every_retry_sends_the_same_bytes_with_the_same_key(client: Start, waits: list[float], failure: Answer) -> None:
    script, run = client(failure, failure, failure, PAID)
    assert run(refund) == {"id": PAYMENT}
    assert len(script.requests) == 4
    assert len({request.content for request in script.requests}) == 1
    assert len(set(script.keys)) == 1
    assert len(waits) == 3


def test_waits_double_with_jitter_and_follow_retry_after(client: Start, waits: list[float]) -> None:
    _, run = client(httpx.ConnectError, httpx.ConnectError, problem(503, "unavailable", **{"retry-after": "7"}), PAID)
    run(refund)
    first, second, third = waits
    assert 0.125 <= first <= 0.25 <= second <= 0.5
    assert third == 7


@pytest.mark.parametrize("asked", ["31", "86400", "9" * 400])
def test_a_long_retry_after_is_an_error_at_once(client: Start, waits: list[float], asked: str) -> None:
    script, run = client(problem(503, "unavailable", **{"retry-after": asked}))
    with pytest.raises(UnavailableError):
        run(refund)
    assert (len(script.requests), waits) == (1, [])


@pytest.mark.parametrize("asked", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "1e9", "², please"])
def test_a_retry_after_that_is_no_number_counts_as_none(client: Start, waits: list[float], asked: str) -> None:
    answer = httpx.Response(503, headers=[(b"retry-after", asked.encode())])
    _, run = client(answer, PAID)
    run(refund)
    assert waits[0] <= 0.25


def test_retries_end_and_the_error_has_the_key_for_another_try(client: Start) -> None:
    script, run = client(*[httpx.ReadTimeout] * 4)
    with pytest.raises(NoAnswerError, match="got no answer") as caught:
        run(refund)
    assert len(script.requests) == 4
    assert script.keys == [caught.value.idempotency_key] * 4
    again, run = client(httpx.ConnectError, max_retries=0)
    with pytest.raises(NoAnswerError):
        run(lambda service: service.cancel_payment(PAYMENT, idempotency_key="cancel-1"))
    assert again.keys == ["cancel-1"]


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (problem(401, "unauthenticated"), UnauthenticatedError, "unauthenticated"),
        (problem(403, "forbidden"), ForbiddenError, "forbidden"),
        (problem(404, "not_found"), NotFoundError, "not_found"),
        (problem(409, "not_allowed"), ConflictError, "not_allowed"),
        (problem(422, "idempotency_mismatch"), InvalidRequestError, "idempotency_mismatch"),
        (problem(418, "new"), InvalidRequestError, "new"),
        (problem(500, "internal"), ServerError, "internal"),
        (httpx.Response(301, headers={"location": "https://elsewhere.test"}), InvalidRequestError, ""),
        (httpx.Response(404, json=["no", "problem"]), NotFoundError, ""),
        (httpx.Response(200, text="<html>a login page</html>"), InvalidRequestError, ""),
    ],
)
def test_a_problem_is_an_error_of_its_class_and_is_not_retried(
    client: Start, answer: httpx.Response, kind: type[ApiError], code: str
) -> None:
    script, run = client(answer)
    with pytest.raises(ApiError) as caught:
        run(refund)
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.code) == (answer.status_code, code)
    assert len(script.requests) == 1
    assert isinstance(caught.value, PaymentServiceError)
    assert caught.value.idempotency_key == script.keys[0]


def test_an_error_names_the_id_under_which_the_logs_have_it(client: Start) -> None:
    content = {"type": "urn:payment-service:internal", "detail": "Report it.", "instance": "urn:uuid:1"}
    _, run = client(httpx.Response(500, json=content), problem(404, "not_found", **{"x-request-id": "nginx-7"}))
    with pytest.raises(ServerError, match=r"500 internal: Report it\. \(request urn:uuid:1\)") as defect:
        run(refund)
    assert defect.value.request_id == "urn:uuid:1"
    with pytest.raises(NotFoundError) as missing:
        run(refund)
    assert missing.value.request_id == "nginx-7"


def test_no_error_and_no_repr_shows_the_api_key(client: Start) -> None:
    _, run = client(problem(401, "unauthenticated"))
    with pytest.raises(UnauthenticatedError) as caught:
        run(refund)
    assert "psk_1" not in repr(caught.value) + str(caught.value) + repr(PaymentServiceClient(URL, "psk_1"))


def test_a_rate_limit_without_end_is_an_error(client: Start) -> None:
    _, run = client(*[problem(429, "too_many_requests", **{"retry-after": "1"})] * 4)
    with pytest.raises(TooManyRequestsError):
        run(refund)


def test_a_list_reads_the_next_page_only_when_it_is_needed() -> None:
    pages = [
        {"data": [{"id": "1"}, {"id": "2"}], "has_more": True, "next_cursor": "c1"},
        {"data": [{"id": "3"}], "has_more": False, "next_cursor": None},
    ]
    script = Script(*(httpx.Response(200, json=page) for page in pages))
    with httpx.Client(transport=httpx.MockTransport(script)) as http:
        found = iter(PaymentServiceClient(URL, "psk_1", http=http).list_payments(status="pending", limit=2))
        assert [next(found)["id"], next(found)["id"]] == ["1", "2"]
        assert len(script.requests) == 1
        assert [payment["id"] for payment in found] == ["3"]
    assert [dict(request.url.params) for request in script.requests] == [
        {"status": "pending", "limit": "2"},
        {"status": "pending", "limit": "2", "cursor": "c1"},
    ]


def test_an_id_cannot_leave_its_place_in_the_path(client: Start) -> None:
    script, run = client(problem(404, "not_found"))
    with pytest.raises(NotFoundError):
        run(lambda service: service.read_payment("x/../../refunds?limit=1"))
    assert str(script.requests[0].url) == f"{URL}/v1/payments/x%2F..%2F..%2Frefunds%3Flimit%3D1"


@pytest.mark.parametrize("url", ["127.0.0.1:8082", "ftp://payments.test", ""])
def test_a_url_of_another_kind_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="must start with http"):
        PaymentServiceClient(url, "psk_1")


@pytest.mark.parametrize("text", ["", "psk_1\n", "psk_1 ", "psk_\u00fc", "psk_1\r\nX-Other: 1"])
def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(client: Start, text: str) -> None:
    """A key is often read from a file, with its line end."""
    with pytest.raises(ValueError, match="The API key is empty, or has unprintable") as caught:
        PaymentServiceClient(URL, text)
    assert "psk" not in str(caught.value)
    script, run = client(PAID)
    with pytest.raises(ValueError, match="The idempotency key is empty, or has unprintable"):
        run(lambda service: service.cancel_payment(PAYMENT, idempotency_key=text))
    assert script.requests == []


def test_the_generated_modules_are_current() -> None:
    """Run `make docs` after a change of the API."""
    assert {path: path.read_text() for path in generate_client.files()} == generate_client.files()


def test_both_clients_have_a_method_for_each_operation_of_the_api() -> None:
    document = json.loads((generate_client.ROOT / "openapi.json").read_text())
    names = {
        spec["operationId"] for path, item in document["paths"].items() if "/v1/" in path for spec in item.values()
    }
    assert len(names) > 10
    assert names <= set(dir(PaymentServiceClient)) & set(dir(AsyncPaymentServiceClient))
