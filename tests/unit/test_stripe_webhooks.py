"""Parsing and translating events: no content raises an unexpected exception, and no secret is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payment_service.domain.payment import ChargeFact, IntentFact, Status
from payment_service.provider.port import BodyRefused, Disposition, ProviderEvent
from payment_service.provider.stripe.webhooks import (
    DEPTH_MAX,
    parse,
    translate,
)

NOW = 1_790_000_000
PAYMENT_ID = "6f1d9a52-0c4e-4b7b-9d53-2f5b1a7c8e10"


def intent(**changes: Any) -> dict[str, Any]:
    """Return a paid PaymentIntent of ours."""
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "succeeded",
        "amount": 1990,
        "amount_received": 1990,
        "currency": "eur",
        "payment_method_types": ["card"],
        "metadata": {"deployment": "default", "order_id": "o-1", "payment_id": PAYMENT_ID},
        **changes,
    }


def charge(**changes: Any) -> dict[str, Any]:
    """Return a successful charge of ours."""
    return {
        "id": "ch_1",
        "object": "charge",
        "amount": 1990,
        "currency": "eur",
        "payment_intent": "pi_1",
        "payment_method_details": {"type": "card"},
        "metadata": {"deployment": "default", "order_id": "o-1", "payment_id": PAYMENT_ID},
        **changes,
    }


def event(kind: str = "payment_intent.succeeded", subject: Any = None, **changes: Any) -> dict[str, Any]:
    """Return an event about `subject`."""
    return {
        "id": "evt_1",
        "object": "event",
        "created": NOW,
        "livemode": False,
        "type": kind,
        "data": {"object": intent() if subject is None else subject},
        **changes,
    }


def read(value: dict[str, Any]) -> ProviderEvent:
    """Parse and translate, as the endpoint does."""
    return translate(parse(json.dumps(value).encode()), deployment="default", livemode=False)


@given(body=st.binary(max_size=200))
def test_random_bytes_are_refused(body: bytes) -> None:
    """Random bytes are no event."""
    with pytest.raises(BodyRefused):
        parse(body)


DEEP = 100_000


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff", "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b'{"id":"evt_1",}', "not_json"),
        (b'{"created":' + b"9" * 5000 + b"}", "not_json"),
        (b'{"created":NaN}', "not_a_number"),
        (b'{"created":-Infinity}', "not_a_number"),
        (b'{"id":"evt_1","id":"evt_2"}', "duplicate_key"),
        (b'{"data":{"object":{"amount":1,"amount":2}}}', "duplicate_key"),
        (b"[" * DEEP + b"]" * DEEP, "too_deep"),
        (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "too_deep"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "too_deep"),
        (b"[]", "not_an_event"),
        (b'"evt_1"', "not_an_event"),
        (b"null", "not_an_event"),
    ],
)
def test_a_body_that_is_not_strict_json_is_refused(body: bytes, reason: str) -> None:
    """The standard library alone accepts NaN and duplicate keys, and fails on a hundred thousand brackets."""
    with pytest.raises(BodyRefused) as caught:
        parse(body)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": "evt_\r\n1"},
        {"id": "e" * 256},
        {"type": 7},
        {"type": "a\x00b"},
        {"created": "soon"},
        {"created": True},
        {"created": 1.5},
        {"created": -1},
        {"created": 10**12},
        {"livemode": "false"},
        {"data": None},
        {"data": {"object": []}},
    ],
)
def test_an_event_without_a_required_field_is_refused(changes: dict[str, Any]) -> None:
    """Such an event could not be stored exactly once."""
    with pytest.raises(BodyRefused) as caught:
        parse(json.dumps(event(**changes)).encode())
    assert caught.value.reason == "not_an_event"


@pytest.mark.invariant("I13")
def test_no_number_becomes_a_float() -> None:
    """A number with a decimal point stays text, so that nothing is rounded."""
    read_back = parse(json.dumps(event()).replace('"created"', '"rate": 0.10, "huge": 1e999999, "created"').encode())
    assert (read_back["rate"], read_back["huge"]) == ("0.10", "1e999999")


def test_a_thin_event_is_stored_and_ignored() -> None:
    """A thin event has no object, and its time is text."""
    thin = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": "v1.payment_intent.succeeded",
        "created": "2026-09-21T13:33:20.123Z",
        "livemode": False,
    }
    translated = read(thin)
    assert (translated.disposition, translated.occurred_at) == (Disposition.IGNORED, 1_789_997_600)


@pytest.mark.parametrize(
    ("kind", "changes", "status"),
    [
        ("payment_intent.created", {"status": "requires_payment_method"}, Status.PENDING),
        ("payment_intent.created", {"status": "requires_confirmation"}, Status.PENDING),
        ("payment_intent.requires_action", {"status": "requires_action"}, Status.REQUIRES_ACTION),
        ("payment_intent.processing", {"status": "processing"}, Status.PROCESSING),
        ("payment_intent.amount_capturable_updated", {"status": "requires_capture"}, Status.AUTHORIZED),
        ("payment_intent.succeeded", {"status": "succeeded"}, Status.SUCCEEDED),
        ("payment_intent.canceled", {"status": "canceled"}, Status.CANCELED),
        ("payment_intent.succeeded", {"status": "canceled"}, Status.CANCELED),
    ],
)
def test_the_status_comes_from_the_snapshot_and_not_from_the_event_type(
    kind: str, changes: dict[str, Any], status: Status
) -> None:
    """Stripe renders the snapshot when it creates the event."""
    translated = read(event(kind, intent(**changes)))
    assert translated.disposition is Disposition.APPLY
    assert translated.payment_id == UUID(PAYMENT_ID)
    assert isinstance(translated.fact, IntentFact)
    assert (translated.fact.status, translated.fact.at, translated.fact.source) == (status, NOW, "evt_1")
    assert translated.fact.from_event


@pytest.mark.parametrize("code", ["lost_card", "stolen_card", "fraudulent", "pickup_card", "merchant_blacklist"])
def test_decline_reasons_that_would_help_a_thief_are_hidden(code: str) -> None:
    """Stripe asks to present these as a plain decline (https://docs.stripe.com/declines/codes)."""
    error = {"code": "card_declined", "decline_code": code, "charge": "ch_1", "message": f"secret: {code}"}
    translated = read(
        event("payment_intent.payment_failed", intent(status="requires_payment_method", last_payment_error=error))
    )
    assert isinstance(translated.fact, IntentFact)
    assert translated.fact.status is Status.DECLINED
    assert translated.fact.decline is not None
    assert (translated.fact.decline.code, translated.fact.decline.charge_id) == (code, "ch_1")
    assert translated.fact.decline.reason == "The payment was declined."


def test_a_charge_states_the_payment_method() -> None:
    """No other event names it when several methods are offered."""
    translated = read(event("charge.succeeded", charge()))
    assert isinstance(translated.fact, ChargeFact)
    assert (translated.fact.intent_id, translated.fact.method) == ("pi_1", "card")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        [],
        {},
        {"deployment": "another", "payment_id": PAYMENT_ID},
        {"payment_id": PAYMENT_ID},
        {"deployment": "default"},
        {"deployment": "default", "payment_id": "' OR 1=1 --"},
        {"deployment": "default", "payment_id": PAYMENT_ID.upper()},
        {"deployment": "default", "payment_id": f"{{{PAYMENT_ID}}}"},
        {"deployment": "default", "payment_id": 7},
    ],
)
def test_objects_without_our_metadata_are_classified_as_foreign(metadata: object) -> None:
    """The account may serve other shops, and people create payments in the dashboard. Later, the intent decides."""
    translated = read(event(subject=intent(metadata=metadata)))
    assert (translated.disposition, translated.payment_id) == (Disposition.EXTERNAL, None)
    assert translated.intent_id == "pi_1"


@pytest.mark.parametrize("changes", [{"livemode": True}, {"account": "acct_1"}])
def test_an_event_of_another_mode_or_account_is_never_applied(changes: dict[str, Any]) -> None:
    """A misconfigured endpoint must not let a test payment ship real goods."""
    translated = read(event(**changes))
    assert (translated.disposition, translated.fact) == (Disposition.MISDIRECTED, None)


@pytest.mark.parametrize(
    ("kind", "disposition"),
    [
        ("charge.failed", Disposition.IGNORED),
        ("payment_intent.partially_funded", Disposition.IGNORED),
        ("customer.created", Disposition.IGNORED),
        ("a.type.of.the.future", Disposition.IGNORED),
    ],
)
def test_other_event_types_are_ignored(kind: str, disposition: Disposition) -> None:
    """New types appear without notice."""
    assert read(event(kind, charge())).disposition is disposition


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("payment_intent.succeeded", intent(amount="1990")),
        ("payment_intent.succeeded", intent(amount=19.9)),
        ("payment_intent.succeeded", intent(amount=True)),
        ("payment_intent.succeeded", intent(amount=-1)),
        ("payment_intent.succeeded", intent(amount=2**63)),
        ("payment_intent.succeeded", intent(amount_received=[])),
        ("payment_intent.succeeded", intent(amount_received="all")),
        ("payment_intent.succeeded", intent(currency="zzz")),
        ("payment_intent.succeeded", intent(currency=["eur"])),
        ("payment_intent.succeeded", intent(status="paid")),
        ("payment_intent.succeeded", intent(status={})),
        ("payment_intent.succeeded", intent(id=7)),
        ("payment_intent.succeeded", {"metadata": intent()["metadata"]}),
        ("charge.succeeded", charge(payment_intent=None)),
        ("charge.succeeded", charge(payment_method_details=None)),
        ("charge.succeeded", charge(payment_method_details={"type": "card\x00"})),
        ("charge.succeeded", charge(amount="1")),
        ("charge.succeeded", {"metadata": charge()["metadata"]}),
    ],
)
def test_an_unreadable_object_of_ours_has_no_fact(kind: str, subject: dict[str, Any]) -> None:
    """It names a payment of ours, so it is never dropped. It has no fact, so it is never applied."""
    translated = read(event(kind, subject))
    assert (translated.disposition, translated.fact) == (Disposition.APPLY, None)
    assert translated.payment_id == UUID(PAYMENT_ID)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    kind=st.sampled_from(["payment_intent.succeeded", "charge.succeeded", "refund.created", "other"]),
    field=st.sampled_from(sorted(intent() | charge())),
    value=json_values,
)
@example(kind="other", field="amount", value="\\u0000")
@example(kind="other", field="amount", value={"\x00": ["\x00"]})
def test_translate_never_raises_on_any_content(kind: str, field: str, value: Any) -> None:
    """Its result is text that UTF-8 and jsonb can hold."""
    translated = read(event(kind, intent(**charge()) | {field: value}))
    assert not any("\x00" in text for text in texts(json.loads(translated.payload.encode())))


def texts(value: Any) -> Iterator[str]:
    """Yield every text and key in a JSON value."""
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from texts(item)
        case dict():
            for key, item in value.items():
                yield key
                yield from texts(item)
        case _:
            pass


@pytest.mark.invariant("I12")
def test_client_secrets_are_removed_at_any_depth() -> None:
    """A client secret lets its holder see and pay another customer's payment."""
    secret = "pi_1_secret_abc"
    value = event(
        subject=intent(client_secret=secret, nested=[{"client_secret": secret, "deeper": {"client_secret": 1}}])
    )
    assert "secret" not in read(value).payload
    assert "secret" not in translate(value, deployment="default", livemode=False).payload


def test_characters_that_the_database_cannot_hold_are_replaced() -> None:
    """PostgreSQL text cannot hold U+0000, and UTF-8 cannot hold half of a surrogate pair."""
    odd = {"a\x00b": "c\x00d", "half": "\ud800", "whole": "\U0001f600", "text": "\\u0000"}
    kept = json.loads(read(event(subject=intent(odd=odd))).payload)["data"]["object"]["odd"]
    assert kept == {"a\ufffdb": "c\ufffdd", "half": "\ufffd", "whole": "\U0001f600", "text": "\\u0000"}


def test_a_stored_event_translates_to_the_same_result() -> None:
    """Events are applied and replayed from the stored text."""
    first = read(event(subject=intent(client_secret="x", rate=0.5)))
    again = translate(json.loads(first.payload), deployment="default", livemode=False)
    assert again == first
