"""A record of `orders.created` decodes to an order or to a rejection with a reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.contracts.cancelled_orders import decode_cancelled_order
from payment_service.contracts.orders import ORDER_VALUE_LIMIT_BYTES, decode_order
from payment_service.domain.order import Order, Reason, Rejected, record_time
from payment_service_events.currency import CURRENCIES, currency
from payment_service_events.money import AMOUNT_MINOR_MAX, Money

AT_MS = 1_767_225_600_123
ORDER: dict[str, Any] = {
    "order_id": "order-1",
    "user_id": "user-1",
    "total": "59.70",
    "currency": "USD",
    "items_count": 3,
    "items": [{"product_id": "4242424242424241", "quantity": 3, "price": "19.90"}],
}
CARD = "4242424242424242"
MISSING = object()
ZONES = st.builds(timezone, st.timedeltas(timedelta(hours=-14), timedelta(hours=14)))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def decode(value: bytes | None) -> Order | Rejected:
    """Decode a record with a timestamp of 2026-01-01."""
    return decode_order(value, timestamp_ms=AT_MS)


def decode_with(**fields: object) -> Order | Rejected:
    """Decode the sample order with changed fields; fields set to MISSING are left out."""
    return decode(json.dumps({k: v for k, v in {**ORDER, **fields}.items() if v is not MISSING}).encode())


def rejected_for(answer: Order | Rejected) -> Reason:
    """Return the reason of a rejection; fail if the order was accepted."""
    assert isinstance(answer, Rejected), answer
    assert answer.detail.endswith(".")
    return answer.reason


def test_a_valid_order_is_decoded() -> None:
    assert decode_with() == Order(
        order_id="order-1",
        user_id="user-1",
        amount=Money(5970, currency("usd")),
        recorded_at=datetime(2026, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "metadata",
    [{}, {"campaign": "spring", "empty": "", "basket id": "Zoë 🦆"}, {f"name-{n}": "x" * 200 for n in range(20)}],
)
def test_metadata_is_decoded(metadata: dict[str, str]) -> None:
    answer = decode_with(metadata=metadata)
    assert isinstance(answer, Order)
    assert answer.metadata == metadata


@pytest.mark.parametrize("metadata", [None, MISSING])
def test_metadata_can_be_left_out(metadata: object) -> None:
    answer = decode_with(metadata=metadata)
    assert isinstance(answer, Order)
    assert answer.metadata == {}


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        "campaign",
        {"campaign": 7},
        {"campaign": None},
        {"campaign": {"name": "spring"}},
        {"": "x"},
        {"x" * 41: "x"},
        {"x": "x" * 201},
        {"x[y]": "z"},
        {"é": "z"},
        {"x": "two\nlines"},
        {"x": "pi_1_secret_abc"},
        {f"name-{n}": "x" for n in range(21)},
        *({name: "x"} for name in ("deployment", "installation", "order_id", "payment_id", "refund_id")),
    ],
)
def test_invalid_metadata_is_rejected(metadata: object) -> None:
    assert rejected_for(decode_with(metadata=metadata)) is Reason.BAD_METADATA


@pytest.mark.invariant("I12")
@pytest.mark.parametrize("metadata", [{"note": "4242 4242 4242 4242"}, {"4242424242424242": "x"}])
def test_a_card_number_in_metadata_is_rejected(metadata: object) -> None:
    assert rejected_for(decode_with(metadata=metadata)) is Reason.CARD_NUMBER


@pytest.mark.parametrize(("method", "manual"), [("manual", True), ("automatic", False), (None, None), (MISSING, None)])
def test_the_capture_method_is_decoded(method: object, manual: bool | None) -> None:
    answer = decode_with(capture_method=method)
    assert isinstance(answer, Order)
    assert answer.manual_capture is manual


@pytest.mark.parametrize("method", ["", "Manual", "manual ", "automatic_async", True, 1, [], ["manual"], {}])
def test_an_invalid_capture_method_is_rejected(method: object) -> None:
    assert rejected_for(decode_with(capture_method=method)) is Reason.BAD_CAPTURE_METHOD


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES))  # noqa: DTZ001
def test_every_rfc_3339_time_is_decoded_exactly(time: datetime) -> None:
    minutes = time.utcoffset() or timedelta()
    whole = time.replace(tzinfo=timezone(timedelta(minutes=minutes // timedelta(minutes=1))))
    answer = decode_with(expires_at=whole.isoformat())
    assert isinstance(answer, Order)
    assert answer.expires_at == whole


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-12-31",
        "2026-12-31T23:59:59",
        "2026-12-31 23:59:59Z",
        "2026-12-31T23:59Z",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-12-31T24:00:00Z",
        "2026-12-31T23:59:59+2400",
        "2026-12-31T23:59:59+24:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "\uff12026-12-31T23:59:59Z",
        "2026-W53-1T00:00:00Z",
        "now",
        1_767_225_600,
        True,
        [],
    ],
)
def test_an_invalid_time_is_rejected(text: object) -> None:
    assert rejected_for(decode_with(expires_at=text)) is Reason.BAD_EXPIRES_AT


@given(st.binary(max_size=200))
def test_random_bytes_are_rejected(value: bytes) -> None:
    assert rejected_for(decode(value)) is not None


@given(st.binary(max_size=200) | JSON.map(lambda parsed: json.dumps(parsed).encode()))
def test_invalid_order_cancellations_are_rejected(value: bytes) -> None:
    assert isinstance(decode_cancelled_order(value, timestamp_ms=AT_MS), Rejected)


@given(st.from_regex(r"\A[!-~]{1,64}\Z"), JSON)
def test_an_order_cancellation_needs_only_an_order_id(order_id: str, reason: object) -> None:
    """A reason that is no line of text is treated as absent."""
    answer = decode_cancelled_order(json.dumps({"order_id": order_id, "reason": reason}).encode(), timestamp_ms=AT_MS)
    if isinstance(answer, Rejected):
        assert answer.reason in {Reason.NOT_JSON, Reason.DUPLICATE_FIELD, Reason.CARD_NUMBER}
        return
    assert answer.order_id == order_id
    assert answer.reason in (reason, "")
    assert "\x00" not in answer.reason
    answer.reason.encode()


@given(JSON)
def test_random_json_is_rejected(parsed: object) -> None:
    """Python also writes NaN and Infinity, which are not JSON."""
    assert isinstance(decode(json.dumps(parsed).encode()), Rejected)


@given(
    st.fixed_dictionaries({}, optional={name: JSON | st.just(value) for name, value in ORDER.items()}), st.integers()
)
def test_an_order_with_random_fields_is_accepted_or_rejected(fields: dict[str, object], timestamp_ms: int) -> None:
    answer = decode_order(json.dumps(fields).encode(), timestamp_ms=timestamp_ms)
    if isinstance(answer, Order):
        assert isinstance(fields["total"], str)
        assert answer.order_id == fields["order_id"]
        assert answer.amount.currency.code == str(fields["currency"]).lower()


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64),
    st.sampled_from(sorted(CURRENCIES)),
    st.integers(0, AMOUNT_MINOR_MAX),
)
def test_every_order_that_fits_the_contract_is_accepted(order_id: str, code: str, minor: int) -> None:
    money = Money(minor, CURRENCIES[code])
    answer = decode_with(order_id=order_id, currency=code.upper(), total=money.decimal_text)
    assert isinstance(answer, Order)
    assert (answer.order_id, answer.amount) == (order_id, money)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, Reason.EMPTY, id="a tombstone"),
        pytest.param(b"", Reason.EMPTY, id="no bytes"),
        pytest.param(b" " * (ORDER_VALUE_LIMIT_BYTES + 1), Reason.TOO_LARGE, id="too large"),
        pytest.param(b'{"order_id":"\xff"}', Reason.NOT_UTF8, id="Latin-1"),
        pytest.param(b'{"order_id":"\xed\xa0\x80"}', Reason.NOT_UTF8, id="a surrogate in UTF-8"),
        pytest.param(json.dumps(ORDER).encode("utf-16"), Reason.UTF16, id="UTF-16"),
        pytest.param(json.dumps(ORDER).encode("utf-16-le"), Reason.UTF16, id="UTF-16 without a mark"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(ORDER).encode(), Reason.BYTE_ORDER_MARK, id="a byte order mark"),
        pytest.param(b"order", Reason.NOT_JSON, id="a word"),
        pytest.param(json.dumps(ORDER).encode()[:-1], Reason.NOT_JSON, id="cut off"),
        pytest.param(json.dumps(ORDER).encode() + b"{}", Reason.NOT_JSON, id="two values"),
        pytest.param(b'{"order_id":"a\x00b"}', Reason.NOT_JSON, id="a zero byte in a string"),
        pytest.param(b'{"total":NaN}', Reason.NOT_JSON, id="NaN"),
        pytest.param(b'{"total":-Infinity}', Reason.NOT_JSON, id="Infinity"),
        pytest.param(b'{"total":' + b"9" * 10_000 + b"}", Reason.NOT_JSON, id="a number of 10,000 digits"),
        pytest.param(b"[" * 100_000, Reason.NOT_JSON, id="100,000 lists, one in another"),
        pytest.param(b'{"a":' * 20_000 + b"1" + b"}" * 20_000, Reason.NOT_JSON, id="20,000 objects, one in another"),
        pytest.param(b'{"order_id":"1","order_id":"2"}', Reason.DUPLICATE_FIELD, id="an id twice"),
        pytest.param(b'{"items":[{"price":"1","price":"2"}]}', Reason.DUPLICATE_FIELD, id="a price twice"),
        pytest.param(b"[]", Reason.NOT_AN_OBJECT, id="a list"),
        pytest.param(b"null", Reason.NOT_AN_OBJECT, id="null"),
        pytest.param(b'"order"', Reason.NOT_AN_OBJECT, id="a string"),
        pytest.param(b"{}", Reason.BAD_ORDER_ID, id="nothing in it"),
    ],
)
def test_unusable_values_are_rejected_with_a_reason(value: bytes | None, reason: Reason) -> None:
    assert rejected_for(decode(value)) is reason


@pytest.mark.parametrize(
    "order_id",
    [MISSING, None, "", 1, 1.5, True, ["a"], {}, "a" * 65, "a b", "a\n", "\x7f", "é", "\ud800", "a\u0000b", "\u200b"],
)
def test_an_invalid_order_id_is_rejected(order_id: object) -> None:
    assert rejected_for(decode_with(order_id=order_id)) is Reason.BAD_ORDER_ID


@pytest.mark.parametrize(
    "total",
    [MISSING, None, "", 59.7, 59, -1, 0, True, ["1"], "-1", "+1", "1e3", "1,000.00", "59.701", " 1", "1.", ".5", "01", "\uff11", "NaN",
     "10000000000.00", "9" * 400],
)  # fmt: skip
def test_an_invalid_total_is_rejected(total: object) -> None:
    assert rejected_for(decode_with(total=total)) is Reason.BAD_AMOUNT


def test_the_rejection_of_a_numeric_total_asks_for_a_string() -> None:
    answer = decode_with(total=59.7)
    assert isinstance(answer, Rejected)
    assert "not a string" in answer.detail


def test_more_decimals_than_the_currency_allows_are_rejected() -> None:
    assert rejected_for(decode_with(currency="JPY", total="500.00")) is Reason.BAD_AMOUNT


def test_the_maximum_amount_can_be_lowered() -> None:
    value = json.dumps(ORDER).encode()
    assert rejected_for(decode_order(value, timestamp_ms=AT_MS, amount_minor_max=5969)) is Reason.BAD_AMOUNT
    assert isinstance(decode_order(value, timestamp_ms=AT_MS, amount_minor_max=5970), Order)


@pytest.mark.parametrize("code", [MISSING, None, "", 978, "zzz", "EURO", "xau", " eur", "eur\n", "\u212aWD", ["EUR"]])
def test_an_invalid_currency_is_rejected(code: object) -> None:
    assert rejected_for(decode_with(currency=code)) is Reason.BAD_CURRENCY


@pytest.mark.parametrize("user_id", [1, 1.5, False, ["a"], {}, "a" * 256, "a\nb", "a\u0000", "\ud800", "\u202e"])
def test_an_invalid_user_id_is_rejected(user_id: object) -> None:
    assert rejected_for(decode_with(user_id=user_id)) is Reason.BAD_USER_ID


@pytest.mark.parametrize(
    ("user_id", "read"), [(MISSING, ""), (None, ""), ("", ""), ("Zoë Ünal", "Zoë Ünal"), ("a" * 255, "a" * 255)]
)
def test_the_user_id_is_optional(user_id: object, read: str) -> None:
    answer = decode_with(user_id=user_id)
    assert isinstance(answer, Order)
    assert answer.user_id == read


@pytest.mark.parametrize("total", ["0", "0.00"])
def test_a_zero_total_is_accepted(total: str) -> None:
    answer = decode_with(total=total)
    assert isinstance(answer, Order)
    assert answer.amount.minor == 0


@pytest.mark.parametrize("fields", [
    {"items": MISSING, "items_count": MISSING}, {"items_count": "3"}, {"items_count": -1}, {"items_count": 2**31},
    {"items": "none"}, {"items": [1, {"price": 19.9}]}, {"tenant": "other"},
    {"coupon": {"deep": [[[None]]]}}, {"fraction": 1e999},
])  # fmt: skip
def test_fields_that_a_payment_does_not_need_are_not_validated(fields: dict[str, object]) -> None:
    assert isinstance(decode(_json_with(fields)), Order)


def _json_with(fields: dict[str, object]) -> bytes:
    merged = {k: v for k, v in {**ORDER, **fields}.items() if v is not MISSING}
    return json.dumps(merged).replace("Infinity", "1e999").encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"note": CARD},
        {"note": "pay with 4242 4242 4242 4242, please"},
        {"card": {"number": "4242-4242-4242-4242", "cvc": "123"}},
        {"items": [{"product_id": "1", "name": CARD}]},
        {"card_number": int(CARD)},
        {CARD: "x"},
        {"user": {"product_id": [CARD]}},
        {"currency": CARD},
        {"total": CARD},
        {"order_id": CARD},
        {"user_id": f"customer {CARD}"},
        {"user_id": "4242.4242.4242.4242"},
        {"cart_id": int(CARD)},
        {"card": {"id": CARD}},
        {"price": float(CARD)},
        {"price": -float(CARD)},
        {"number": "4242\N{NO-BREAK SPACE}4242\N{EN DASH}4242_4242"},
        {"link": "https://shop.test/?number=4242%204242%204242%204242"},
    ],
)
def test_a_card_number_in_any_text_is_rejected_and_not_repeated(fields: dict[str, object]) -> None:
    answer = decode_with(**fields)
    assert rejected_for(answer) is Reason.CARD_NUMBER
    assert "4242" not in str(answer)


def test_a_card_number_behind_json_escapes_is_rejected() -> None:
    hidden = "".join(f"\\u{ord(c):04x}" for c in CARD)
    assert (
        rejected_for(decode(json.dumps(ORDER).replace('"user-1"', f'"user-1", "note": "{hidden}"').encode()))
        is Reason.CARD_NUMBER
    )


@pytest.mark.parametrize(
    "fields", [{"order_id": CARD}, {"user_id": CARD}, {"id": CARD}, {"items": [{"product_id": int(CARD)}]}]
)
def test_ids_may_look_like_card_numbers_if_the_store_allows_it(fields: dict[str, object]) -> None:
    """Ids of 16 digits exist; a tenth of those with a network's prefix pass as card numbers."""
    value = json.dumps({**ORDER, **fields}).encode()
    assert isinstance(decode_order(value, timestamp_ms=AT_MS, card_like_ids=True), Order)
    assert isinstance(decode_order(value, timestamp_ms=AT_MS), Rejected)


@pytest.mark.parametrize("number", ["1e99999999999999999999", "1e999", "-0.0", "4e15"])
def test_unusual_numbers_raise_no_error(number: str) -> None:
    value = json.dumps(ORDER).replace('"items_count": 3', f'"items_count": {number}').encode()
    assert isinstance(decode(value), Order | Rejected)


def test_other_texts_with_card_numbers_are_rejected_even_if_ids_may_look_like_them() -> None:
    value = json.dumps({**ORDER, "note": CARD}).encode()
    assert rejected_for(decode_order(value, timestamp_ms=AT_MS, card_like_ids=True)) is Reason.CARD_NUMBER


def test_a_list_with_a_card_number_is_rejected_as_a_card_number() -> None:
    assert rejected_for(decode(f"[{CARD}]".encode())) is Reason.CARD_NUMBER


@pytest.mark.parametrize("field", ["order_id", "user_id", "total", "currency"])
@given(text=st.text("abcdefgh", min_size=12, max_size=12))
def test_a_rejection_never_repeats_the_content_of_the_record(field: str, text: str) -> None:
    answer = decode_with(**{field: f"{text} \n"})
    assert isinstance(answer, Rejected)
    assert text not in answer.detail


@pytest.mark.parametrize(
    ("timestamp_ms", "time"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1, datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
        (253_402_300_799_999, datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        (253_402_300_800_000, None),
        (-1, None),
        (2**63, None),
    ],
)
def test_a_record_time_outside_the_calendar_is_none(timestamp_ms: int, time: datetime | None) -> None:
    assert record_time(timestamp_ms) == time
