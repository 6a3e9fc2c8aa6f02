"""The typed consumer turns records of `payments.*` into events, once and in order."""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import random
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import payment_service_events
from payment_service.contracts.schemas import all_schemas
from payment_service_events import (
    TOPICS,
    Event,
    MalformedRecord,
    MemoryStore,
    PaymentDisputed,
    PaymentFailed,
    PaymentInitiated,
    PaymentRefunded,
    PaymentSucceeded,
    Unknown,
    in_order,
    published_events,
    read,
    read_message,
    take,
)
from payment_service_events.currency import CURRENCIES, Currency
from payment_service_events.money import Money
from payment_service_events.published_events import (
    DATA,
    EVENTS,
    Disputed,
    Failed,
    Initiated,
    Refunded,
    RefundInitiated,
    Succeeded,
)
from scripts.sample_records import ANNOUNCEMENTS, PAYMENT, TIME, record_of, samples

EUR = CURRENCIES["eur"]
[SUCCEEDED] = samples(Succeeded)
DECLINED, ENDED = samples(Failed)


def event_of(payment_event: Any, **options: Any) -> Event:
    """Return the event of a sample, by way of its record."""
    made = record_of(payment_event, **options)
    return read(made.topic, made.value, made.headers)


def changed(payment_event: Any = SUCCEEDED, **changes: Any) -> Event:
    """Read a record with changed fields; fields set to `...` are left out."""
    made = record_of(payment_event)
    value = {**json.loads(made.value or b""), **changes}
    return read(made.topic, json.dumps({k: v for k, v in value.items() if v is not ...}).encode(), made.headers)


@pytest.mark.parametrize("payment_event", ANNOUNCEMENTS)
def test_every_published_record_is_read_with_all_its_fields(payment_event: Any) -> None:
    made = record_of(payment_event, sequence=3, attempt=2)
    event = read(made.topic, made.value, made.headers)
    assert type(event) is EVENTS[payment_event.data.topic]
    assert (event.sequence, event.attempt, event.time, event.id) == (3, 2, TIME, str(made.id))
    value = json.loads(made.value or b"")
    for name, content in value.items():
        match getattr(event, name, None):
            case Money() as money:
                assert (money.decimal_text, money.currency.code) == (content, value["currency"])
            case datetime() as time:
                assert time == datetime.fromisoformat(content)
            case plain if name != "currency":
                assert plain == content


def test_every_published_topic_and_field_has_its_counterpart_in_an_event() -> None:
    """`currency` is part of each amount."""
    envelope = {"id", "sequence", "attempt", "time", "record"}
    for topic, kind in EVENTS.items():
        published = set(all_schemas()[f"{topic}.value"]["properties"])
        assert {field.name for field in fields(kind)} - envelope == published - {"currency"}


def test_every_declared_event_is_exported_under_its_topic() -> None:
    names = {kind.__name__ for kind in EVENTS.values()}
    assert names == set(published_events.__all__) <= set(payment_service_events.__all__)
    assert [kind.__name__ for kind in EVENTS.values()] == [f"Payment{data.__name__}" for data in DATA]
    assert list(TOPICS) == list(EVENTS) == [data.topic for data in DATA]


def test_money_is_in_minor_units_and_events_are_immutable() -> None:
    event = changed(amount="19.90")
    assert isinstance(event, PaymentSucceeded)
    assert (event.amount, event.amount.minor, str(event.amount)) == (Money(1990, EUR), 1990, "19.90 eur")
    with pytest.raises(FrozenInstanceError):
        event.sequence = 2  # type: ignore[misc]


@given(st.integers(0, 999_999_999_999), st.sampled_from(sorted(CURRENCIES)))
def test_every_amount_in_every_currency_is_read_exactly(minor: int, code: str) -> None:
    money = Money(minor, CURRENCIES[code])
    event = changed(amount=money.decimal_text, amount_ordered=money.decimal_text, currency=code)
    assert isinstance(event, PaymentSucceeded)
    assert event.amount == event.amount_ordered == money


def test_an_unknown_currency_takes_its_decimals_from_the_amount() -> None:
    event = changed(amount="1.2345"[:5], amount_ordered="0.000", currency="xyz")
    assert isinstance(event, PaymentSucceeded)
    assert event.amount == Money(1234, Currency("xyz", 3))


def test_unknown_fields_are_ignored_and_kept_in_the_record() -> None:
    event = changed(something_new={"a": 1.5})
    assert replace(event, record=event_of(SUCCEEDED).record) == event_of(SUCCEEDED)
    assert b"something_new" in event.record.value


def test_an_unknown_topic_becomes_an_unknown_event() -> None:
    made = record_of(SUCCEEDED, sequence=4)
    event = read("payments.settled", b'{"payment_id": "p", "order_id": "o", "rate": 0.1}', made.headers)
    assert isinstance(event, Unknown)
    assert (event.payment_id, event.order_id, event.user_id, event.sequence) == ("p", "o", "", 4)
    assert event.value["rate"] == Decimal("0.1")
    assert event.record.topic == "payments.settled"


def test_a_stored_unknown_record_is_read_by_a_later_version() -> None:
    kept = event_of(SUCCEEDED).record
    assert read(kept.topic, kept.value, json.loads(json.dumps(dict(kept.headers)))) == event_of(SUCCEEDED)


def test_unknown_enum_values_are_passed_through() -> None:
    [disputed] = samples(Disputed)
    event = changed(disputed, stage="arbitration", evidence_due_by="")
    assert isinstance(event, PaymentDisputed)
    assert (event.stage, event.evidence_due_by) == ("arbitration", None)


@pytest.mark.parametrize("headers", [list, dict], ids=["pairs", "a mapping"])
def test_messages_of_the_kafka_client_are_read(headers: Any) -> None:
    made = record_of(SUCCEEDED)

    class Message:
        def topic(self) -> str:
            return made.topic

        def value(self) -> bytes | None:
            return made.value

        def headers(self) -> Any:
            return headers([*made.headers, ("other", b"\xff"), ("empty", None)])

    assert read_message(Message()) == event_of(SUCCEEDED)


@pytest.mark.parametrize(
    "value", [None, b"", b"\xff", b"[]", b"null", b"{", b'{"a": NaN}', b"[" * 100_000, b"1" * 10_000, b'{"a":' * 90_000]
)
def test_a_value_that_is_no_object_is_malformed(value: bytes | None) -> None:
    with pytest.raises(MalformedRecord, match=r"^The record of 'payments.succeeded' can't be read: .+\.$"):
        read("payments.succeeded", value, record_of(SUCCEEDED).headers)


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("payment_id", ...),
        ("order_id", None),
        ("user_id", 7),
        ("amount", 19.9),
        ("amount", "19.9"),
        ("amount", "19.900"),
        ("amount", "-1.00"),
        ("amount", "1e3"),
        ("amount", "\u0661.00"),
        ("amount", "99999999999.00"),
        ("currency", "EUR"),
        ("currency", "euro"),
        ("currency", ...),
        ("payment_date", ""),
        ("payment_date", "yesterday"),
        ("payment_date", "2026-01-01T00:00:00"),
    ],
)
def test_a_field_that_breaks_the_contract_is_named(field: str, content: object) -> None:
    with pytest.raises(MalformedRecord, match=rf"payments\.succeeded.*({field}|minor units|decimals)"):
        changed(**{field: content})


@pytest.mark.parametrize("final", ["true", 1, None, ...])
def test_an_invalid_flag_is_named(final: object) -> None:
    with pytest.raises(MalformedRecord, match="final"):
        changed(DECLINED, final=final)


@pytest.mark.parametrize(
    ("name", "content"),
    [(n, c) for n in ("ce_sequence", "ce_attempt") for c in (b"0", b"-1", b"1.5", b"\xb2", b"", b"9" * 5_000, None)]
    + [("ce_id", None), ("ce_id", b""), ("ce_time", b"now"), ("ce_time", None)],
)
def test_a_header_that_breaks_the_contract_is_named(name: str, content: bytes | None) -> None:
    made = record_of(SUCCEEDED)
    with pytest.raises(MalformedRecord, match=name):
        read(made.topic, made.value, {**dict(made.headers), name: content})


@pytest.mark.parametrize("topic", ["orders.created", "orders.created.dlq", "payments", ""])
def test_topics_of_other_services_are_rejected(topic: str) -> None:
    with pytest.raises(MalformedRecord, match=r"not one of payments\.\*"):
        read(topic, b"{}", None)


@given(st.binary(), st.dictionaries(st.sampled_from(["ce_id", "ce_sequence", "ce_time", "ce_attempt"]), st.binary()))
def test_any_bytes_are_an_event_or_malformed(value: bytes, headers: dict[str, bytes]) -> None:
    for topic in ("payments.failed", "payments.unheard_of"):
        with contextlib.suppress(MalformedRecord):
            assert isinstance(read(topic, value, headers), Event)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31t10:00:00z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T10:00:00.5Z", datetime(2026, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T10:00:00.123456789Z", datetime(2026, 1, 31, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-01-31T12:30:00+02:30", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T07:00:00-03:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_every_form_of_rfc_3339_is_read(text: str, expected: datetime) -> None:
    event = changed(payment_date=text)
    assert isinstance(event, PaymentSucceeded)
    assert event.payment_date == expected
    assert event.payment_date.tzinfo is not None


@pytest.mark.parametrize(
    "text",
    ["20260131T100000Z", "2026-01-31", "2026-02-30T10:00:00Z", "2026-01-31T10:00:00+25:00", "2026-01-31T10:00:00.Z"],
)
def test_other_forms_of_time_are_malformed(text: str) -> None:
    with pytest.raises(MalformedRecord, match="payment_date is not a time by RFC 3339"):
        changed(payment_date=text)


@pytest.mark.parametrize(
    "path", sorted(Path(payment_service_events.__file__).parent.glob("*.py")), ids=lambda p: p.name
)
def test_the_source_uses_no_syntax_that_python_3_9_lacks(path: Path) -> None:
    """tests/installation/test_package.py runs the wheel on Python 3.9, where there is one."""
    ast.parse(path.read_text(), feature_version=(3, 9))


def life() -> list[Event]:
    """Return the events of an order that its second payment paid."""
    [initiated], [requested], [refunded] = samples(Initiated), samples(RefundInitiated), samples(Refunded)
    unpaid, paid = (initiated, DECLINED, ENDED), (initiated, SUCCEEDED, requested, refunded)
    first = [event_of(payment_event, sequence=number) for number, payment_event in enumerate(unpaid, 1)]
    return first + [event_of(payment_event, sequence=number, attempt=2) for number, payment_event in enumerate(paid, 1)]


def test_repeated_and_reordered_events_give_the_same_history() -> None:
    whole = tuple(event for event in life() if event.attempt == 2)
    assert [type(event) for event in whole[:2]] == [PaymentInitiated, PaymentSucceeded]
    chance = random.Random(1)
    for shuffled in itertools.islice(itertools.permutations(life()), 0, None, 37):
        store = MemoryStore()
        repeated = [*shuffled, *chance.choices(shuffled, k=5)]
        histories = [take(store, event) for event in repeated]
        assert in_order(store.of_order(whole[0].order_id)) == whole
        assert histories[len(shuffled) :] == [None] * 5, "a repeated event requires no action"
        assert None not in histories[: len(shuffled)]


def test_events_of_a_replaced_payment_are_ignored() -> None:
    """The final decline of the first payment arrives late by another topic, while the next payment is in progress."""
    store = MemoryStore()
    *_, ended, again = life()[:4]
    assert take(store, again) == (again,)
    assert isinstance(ended, PaymentFailed)
    assert ended.final
    assert take(store, ended) == (again,)


def test_each_order_has_its_own_history() -> None:
    store = MemoryStore()
    first, second = event_of(SUCCEEDED), event_of(SUCCEEDED, order="order-2")
    assert take(store, first) == (first,)
    assert take(store, second) == (second,)
    assert in_order([]) == ()


def test_the_memory_store_is_bounded_and_evicts_the_least_recent_order() -> None:
    store = MemoryStore(events_max=3)
    a, b, c, d = (event_of(SUCCEEDED, order=name) for name in "abcd")
    for event in (a, b, c, a, d):
        store.add(event)
    assert [bool(store.of_order(name)) for name in "abcd"] == [True, False, True, True]
    later = [
        event_of(payment_event, order="d", sequence=number) for number, payment_event in enumerate(ANNOUNCEMENTS, 2)
    ]
    assert [store.add(event) for event in later] == [event.id != d.id for event in later]
    assert len(store.of_order("d")) == len(later), "an order is kept or evicted as a whole"


def test_the_consumer_imports_only_the_standard_library() -> None:
    """A consumer needs none of the service's dependencies."""
    script = "import sys; import payment_service_events; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    bare = subprocess.run(
        [sys.executable, "-c", script.replace("import payment_service_events; ", "")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert set(printed.split()) - set(bare.split()) - set(sys.stdlib_module_names) == {"payment_service_events"}


def test_a_refund_event_has_its_amount_time_and_payment() -> None:
    refunded = event_of(*samples(Refunded))
    assert isinstance(refunded, PaymentRefunded)
    assert (refunded.amount, refunded.full, refunded.time) == (Money(500, EUR), False, TIME.astimezone(UTC))
    assert refunded.payment_id == str(PAYMENT)


PAGE = (Path(__file__).parents[2] / "docs" / "consuming.md").read_text()


def test_the_consumer_page_lists_every_event() -> None:
    rows = set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE))
    assert rows == {kind.__name__ for kind in EVENTS.values()}


def test_the_example_of_the_consumer_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [shown] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    made = record_of(SUCCEEDED)
    message = SimpleNamespace(topic=lambda: made.topic, value=lambda: made.value, headers=lambda: list(made.headers))
    exec(shown, {"message": message, "store": MemoryStore()})  # noqa: S102
    assert capsys.readouterr().out == "order-1001 1990 eur\n"
