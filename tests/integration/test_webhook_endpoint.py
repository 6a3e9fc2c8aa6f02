"""Test `POST /webhooks/stripe` over a socket on the service's own server: accepted and refused requests."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from stripe import WebhookSignature

from payment_service.flows.webhooks.apply import Webhooks
from payment_service.http.app import build_app
from payment_service.provider.port import Disposition
from payment_service.telemetry import metrics
from tests.support.deliveries import (
    BODY_LIMIT_BYTES,
    JSON,
    NO_DATABASE,
    PATH,
    SECRET,
    Inbox,
    assert_refused,
    endpoint,
    event,
    intent,
    open_endpoint,
    post,
    ready,
    receivers_of,
    sign,
)
from tests.support.eventually import eventually_async
from tests.support.flows import Flows
from tests.support.http import read_answer, request, send, served


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
async def port(inbox: Inbox) -> AsyncIterator[int]:
    async with open_endpoint(inbox) as open_port:
        yield open_port


async def test_a_signed_event_is_accepted_and_acknowledged(port: int, inbox: Inbox) -> None:
    answer = await post(port, event())
    assert (answer.status, answer.json) == (200, {"received": True})
    assert [e.event_id for e in inbox.events] == ["evt_1"]
    assert inbox.labels == ["secret-1"]


BODY = event()


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(lambda: None, id="none"),
        pytest.param(lambda: "", id="empty"),
        pytest.param(lambda: "t=", id="only t"),
        pytest.param(lambda: sign(BODY).partition(",")[2], id="only v1"),
        pytest.param(lambda: sign(BODY).replace("v1", "v0"), id="only v0"),
        pytest.param(lambda: sign(b"{}"), id="of another body"),
        pytest.param(lambda: _with_another_digit(sign(BODY)), id="one digit changed"),
        pytest.param(lambda: sign(BODY, secret="whsec_another"), id="of another secret"),
        pytest.param(lambda: sign(BODY, ago_s=400), id="too old"),
        pytest.param(lambda: sign(BODY, ago_s=-400), id="of the future"),
        pytest.param(lambda: f"{sign(BODY)},t=1", id="two times"),
        pytest.param(lambda: sign(BODY).replace("t=", "t=+"), id="a time with a sign"),
        pytest.param(lambda: f"t={'9' * 5000},v1={'0' * 64}", id="a time of 5,000 digits"),
        pytest.param(lambda: sign(BODY)[:-1] + "\xe9", id="not ASCII"),
        pytest.param(lambda: f"{sign(BODY)}{f',v1={0:064}' * 100}", id="a hundred signatures"),
    ],
)
async def test_an_invalid_signature_is_refused_without_any_effect(
    port: int, inbox: Inbox, signature: Callable[[], str | None]
) -> None:
    """The response is always the same 400. The metric has the reason."""
    assert_refused(await post(port, BODY, {"stripe-signature": signature()}), 400)
    assert inbox.untouched


def _with_another_digit(header: str) -> str:
    return header[:-1] + ("1" if header[-1] == "0" else "0")


async def test_two_signature_headers_are_refused(port: int, inbox: Inbox) -> None:
    """Two parsers could use different ones."""
    good = sign(BODY)
    data = request("POST", PATH, {**JSON, "stripe-signature": good, "Stripe-Signature": good}, BODY)
    assert_refused(await send(port, data), 400)
    assert inbox.untouched


async def test_a_refusal_is_counted_by_its_reason(port: int) -> None:
    """A wrong secret shows up before Stripe's three days of retries are over."""
    counter = metrics.WEBHOOKS_REFUSED.labels("no_match")
    before = counter._value.get()
    await post(port, BODY, {"stripe-signature": sign(BODY, secret="whsec_another")})
    assert counter._value.get() == before + 1


async def test_a_second_signature_or_secret_may_match(inbox: Inbox) -> None:
    """During a rotation Stripe signs with both secrets, and the service has both."""
    old, new = sign(BODY, secret="whsec_old"), sign(BODY, secret="whsec_new")
    async with served(endpoint(inbox, secrets=["whsec_new", "whsec_old"])) as port:
        for signature in (old, new, f"{sign(BODY, secret='whsec_third')},{new.partition(',')[2]}"):
            assert (await post(port, BODY, {"stripe-signature": signature})).status == 200
    assert inbox.labels == ["secret-2", "secret-1", "secret-1"]


async def test_a_body_that_is_not_utf8_is_refused(port: int, inbox: Inbox) -> None:
    assert_refused(await post(port, b"\xff\xfe", {"stripe-signature": sign(BODY)}), 400)
    assert inbox.untouched


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "not_json", id="empty"),
        pytest.param(b'{"id":', "not_json", id="cut off"),
        pytest.param(event().replace(b'"evt_1"', b"NaN"), "not_a_number", id="NaN"),
        pytest.param(event().replace(b'"evt_1"', b"Infinity"), "not_a_number", id="Infinity"),
        pytest.param(b'{"id":"evt_1","id":"evt_2"}', "duplicate_key", id="two equal keys"),
        pytest.param(b"[" * 100_000, "too_deep", id="a hundred thousand brackets"),
        pytest.param(b'{"a":' * 40_000 + b"1" + b"}" * 40_000, "too_deep", id="forty thousand objects"),
        pytest.param(b"[]", "not_an_event", id="a list"),
        pytest.param(event(id="evt_\r\n' OR 1=1"), "not_an_event", id="invalid id"),
    ],
)
async def test_a_signed_but_unreadable_body_is_refused_and_quarantined(
    port: int, inbox: Inbox, body: bytes, reason: str
) -> None:
    """It should never happen, so none of it may be lost."""
    assert_refused(await post(port, body), 400)
    assert [(quarantined, reason) for quarantined, reason, _ in inbox.quarantined] == [(body, reason)]
    assert not inbox.events
    assert (await post(port, event())).status == 200, "the process continues"


async def test_a_byte_order_mark_is_refused(port: int, inbox: Inbox) -> None:
    """RFC 8259 forbids senders to add one, and parsers disagree about it."""
    body = "\ufeff{}".encode()
    signature = WebhookSignature.generate_signature_header(body.decode(), SECRET)
    assert_refused(await post(port, body, {"stripe-signature": signature}), 400)
    assert [reason for _, reason, _ in inbox.quarantined] == ["not_json"]


@pytest.mark.invariant("I12")
async def test_a_quarantined_body_has_no_client_secret_or_card_number(port: int, inbox: Inbox) -> None:
    await post(port, b'{"client_secret":"pi_1_secret_abc","card":"4242424242424242",}')
    [(quarantined, _, _)] = inbox.quarantined
    assert b"abc" not in quarantined
    assert b"424242424242" not in quarantined


@pytest.mark.invariant("I8")
@pytest.mark.parametrize("body", [event(), b"{"])
async def test_a_storage_failure_asks_stripe_to_retry(port: int, inbox: Inbox, body: bytes) -> None:
    """Neither an event nor a quarantined body may be acknowledged before it is durable."""
    inbox.unavailable = True
    answer = await post(port, body)
    assert_refused(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("content_type", [None, "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/jsonp"])  # fmt: skip
async def test_only_json_is_accepted(port: int, inbox: Inbox, content_type: str | None) -> None:
    """No form parser ever runs."""
    assert_refused(await post(port, BODY, {"content-type": content_type}), 415)
    assert inbox.untouched


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_no_content_encoding_is_accepted(port: int, inbox: Inbox, encoding: str) -> None:
    """This prevents decompression bombs."""
    assert_refused(await post(port, gzip.compress(BODY), {"content-encoding": encoding}), 415)
    assert inbox.untouched


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_every_spelling_of_the_json_media_type_is_accepted(port: int, content_type: str) -> None:
    assert (await post(port, BODY, {"content-type": content_type})).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_not_allowed(port: int, method: str) -> None:
    """TRACE would echo headers. No other method reaches the endpoint."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(method, PATH))
    answer = await read_answer(reader, head_only=method == "HEAD")
    writer.close()
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert not any(name.startswith("access-control") for name in answer.headers)


async def test_a_body_over_the_limit_is_refused_before_it_is_read(port: int, inbox: Inbox) -> None:
    """Its length suffices: the test sends none of the body."""
    data = request("POST", PATH, {**JSON, "content-length": str(BODY_LIMIT_BYTES + 1)})
    assert_refused(await send(port, data), 413)
    assert inbox.untouched


@pytest.mark.invariant("I11")
async def test_a_body_without_a_length_is_refused_once_it_exceeds_the_limit(port: int, inbox: Inbox) -> None:
    """A client that sends it to the end still receives the response. Then the connection is closed."""
    size = BODY_LIMIT_BYTES * 4
    head = request("POST", PATH, {**JSON, "transfer-encoding": "chunked"})
    answer = await send(port, head + f"{size:x}\r\n".encode() + b"x" * size, wait_close=True)
    assert_refused(answer, 413)
    assert inbox.untouched


async def test_the_largest_allowed_body_is_accepted(port: int, inbox: Inbox) -> None:
    padding = BODY_LIMIT_BYTES - len(event(subject={"padding": ""}))
    assert (await post(port, event(subject={"padding": "x" * padding}))).status == 200
    assert (await post(port, event(subject={"padding": "x" * (padding + 1)}))).status == 413
    assert len(inbox.events) == 1


async def test_a_slow_body_is_abandoned(inbox: Inbox) -> None:
    """The whole body has one deadline, however many bytes arrive. Other requests are not delayed."""
    async with served(endpoint(inbox, read_timeout_s=0.3)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST", PATH, {**JSON, "content-length": "1000"}))

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert (await post(port, BODY)).status == 200
        assert_refused(await read_answer(reader), 408)
        with suppress(ConnectionResetError):  # closed while a byte was in flight
            assert await reader.read() == b"", "the connection is closed"
        dripping.cancel()
        writer.close()


async def test_a_disconnected_sender_frees_its_slot(inbox: Inbox) -> None:
    """With a limit of one slot, the next delivery is accepted."""
    async with served(endpoint(inbox, waiting_max=1)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST", PATH, {**JSON, "content-length": "1000", "expect": "100-continue"}))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert_refused(await post(port, BODY), 503)
        writer.close()

        async def taken() -> bool:
            return (await post(port, BODY)).status == 200

        await eventually_async(taken)


@pytest.mark.invariant("I11")
async def test_deliveries_beyond_the_queue_limit_are_refused_at_once(inbox: Inbox) -> None:
    """Queued deliveries are answered eventually. The others receive a request to retry."""
    inbox.gate.clear()
    async with served(endpoint(inbox, waiting_max=3)) as port:
        waiting = [asyncio.create_task(post(port, BODY)) for _ in range(3)]
        await eventually_async(lambda: len(inbox.events) == 3)
        answer = await post(port, BODY)
        assert_refused(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        inbox.gate.set()
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [200, 200, 200]


async def test_forwarded_addresses_are_ignored(port: int, inbox: Inbox) -> None:
    """No response depends on the address that a header claims."""
    signed = {**JSON, "stripe-signature": "t=1", "x-forwarded-for": "3.18.12.63", "x-real-ip": "3.18.12.63"}
    assert_refused(await send(port, request("POST", PATH, signed, BODY)), 400)
    assert inbox.untouched


@pytest.fixture
async def durable_port(flows: Flows, inbox: Inbox) -> AsyncIterator[int]:
    """Serve the endpoint with the real flow and database."""
    webhooks = Webhooks(flows.context())
    webhooks.start()
    app = build_app(
        config=flows.config,
        context=replace(NO_DATABASE, pool=flows.pool),
        reads=flows.pool,
        store_event=webhooks.take,
        receivers=receivers_of(flows.config),
        quarantine=inbox.quarantine,
        readiness=ready,
    )
    try:
        async with served(app) as open_port:
            yield open_port
    finally:
        await webhooks.stop()


async def test_a_replay_within_the_tolerance_has_no_second_effect(durable_port: int, flows: Flows) -> None:
    """Replay the same bytes, and the same event with a new signature, as Stripe's retries have."""
    await flows.accept("o-1")
    body = event("payment_intent.succeeded", intent("o-1"))
    same = {"stripe-signature": sign(body)}
    for headers in (same, same, {"stripe-signature": sign(body, ago_s=60)}):
        assert (await post(durable_port, body, headers)).status == 200
    assert (await flows.payment("o-1"))["status"] == "succeeded"
    assert await flows.pool.fetchval("SELECT count(*) FROM payment_events") == 1
    assert await flows.pool.fetchval("SELECT count(*) FROM outbox WHERE type = 'payments.succeeded'") == 1


async def test_a_replay_after_the_tolerance_is_refused_even_for_a_known_event(durable_port: int) -> None:
    body = event()
    assert (await post(durable_port, body)).status == 200
    assert_refused(await post(durable_port, body, {"stripe-signature": sign(body, ago_s=400)}), 400)


@pytest.mark.parametrize(
    ("body", "result", "processed"),
    [
        pytest.param(event("a.type.of.the.future"), Disposition.IGNORED, True, id="unknown type"),
        pytest.param(event(api_version="2099-01-01.future"), Disposition.IGNORED, True, id="unknown version"),
        pytest.param(event(livemode=True), Disposition.MISDIRECTED, True, id="live"),
        pytest.param(event(account="acct_1"), Disposition.MISDIRECTED, True, id="connected account"),
        pytest.param(event("refund.created"), Disposition.EXTERNAL, True, id="external refund"),
        pytest.param(event("payment_intent.succeeded"), Disposition.EXTERNAL, True, id="external intent"),
        pytest.param(event("payment_intent.succeeded", intent("o-unknown")), "unmatched", False, id="unknown order"),
        pytest.param(event("payment_intent.succeeded", intent("o-1", status=7)), "read_again", True, id="unreadable"),
        pytest.param(
            event("payment_intent.succeeded", intent("o-1", amount=1)), "unexpected_money", False, id="another amount"
        ),
        pytest.param(
            event("payment_intent.succeeded", intent("o-1", currency="usd")),
            "unexpected_money",
            False,
            id="another currency",
        ),
        pytest.param(
            event(subject={"id": "'; DROP TABLE payments; --\r\n\x00\ud800", "x\x00": "${jndi:ldap://x}"}),
            Disposition.IGNORED,
            True,
            id="injections",
        ),
    ],
)
async def test_every_signed_event_is_stored_and_acknowledged(
    durable_port: int, flows: Flows, body: bytes, result: str, processed: bool
) -> None:
    """Unknown, external and contradictory events create no other row and change no payment."""
    await flows.accept("o-1")
    assert (await post(durable_port, body)).status == 200
    row = await flows.pool.fetchrow("SELECT result, processed, payload FROM payment_events")
    assert row is not None
    assert (row["result"], row["processed"]) == (result, processed)
    assert "client_secret" not in row["payload"]
    assert (await flows.payment("o-1"))["status"] == "created"
    assert await flows.pool.fetchval("SELECT count(*) FROM payments") == 1


@pytest.mark.invariant("I6")
async def test_a_later_event_with_an_earlier_state_changes_nothing(durable_port: int, flows: Flows) -> None:
    await flows.accept("o-1")
    await post(durable_port, event("payment_intent.succeeded", intent("o-1")))
    late = event("payment_intent.processing", intent("o-1", status="processing", amount_received=0), id="evt_2")
    assert (await post(durable_port, late)).status == 200
    assert (await flows.payment("o-1"))["status"] == "succeeded"
