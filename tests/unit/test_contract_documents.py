"""`schemas/` and `asyncapi.yaml` match the code for every topic."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from payment_service.contracts import cancelled_orders, orders
from payment_service.contracts.dead_letters import Record, dead_letter
from payment_service.contracts.orders import decode_order
from payment_service.contracts.records import ORDERS_CANCELLED, ORDERS_CREATED, TIME_PATTERN, TOPICS, rfc3339
from payment_service.contracts.schemas import INCOMING, all_schemas, headers_name, value_name
from payment_service.domain.dispute import DisputeStatus
from payment_service.domain.order import Order, Reason, Rejected
from payment_service_events.currency import CURRENCIES
from payment_service_events.money import AMOUNT_MINOR_MAX
from payment_service_events.published_events import DATA, EVENTS
from scripts.document_contracts import ASYNCAPI, ROOT, SCHEMAS, asyncapi, schema_files
from scripts.document_events import TABLES, with_tables
from scripts.sample_records import ANNOUNCEMENTS
from tests.support.contracts import against, validate_record, validator

LETTERS = [f"{topic}.dlq" for topic in INCOMING]


def document() -> Any:
    return yaml.safe_load(ASYNCAPI.read_text())


def resolve(reference: dict[str, str]) -> Any:
    """Return the target of a `$ref`: a file beside the document, or a node in it."""
    file, _, pointer = reference["$ref"].partition("#")
    found = json.loads((ROOT / file).read_text()) if file else document()
    for step in pointer.split("/")[1:]:
        found = found[step]
    return found


def messages() -> dict[str, Any]:
    found: dict[str, Any] = document()["components"]["messages"]
    return found


def references(node: Any) -> list[dict[str, str]]:
    if isinstance(node, list):
        return [found for item in node for found in references(item)]
    if not isinstance(node, dict):
        return []
    return [node] if "$ref" in node else [found for item in node.values() for found in references(item)]


def test_schemas_and_asyncapi_are_current() -> None:
    """Run `make docs` after a change of the models."""
    assert {path.name: path.read_text() for path in SCHEMAS.glob("*.json")} == schema_files()
    assert ASYNCAPI.read_text() == asyncapi()


def test_every_topic_is_described() -> None:
    """Every topic is consumed, published, or the dead-letter topic of a consumed one."""
    assert {*INCOMING, *LETTERS, *EVENTS} == set(TOPICS)
    channels = document()["channels"]
    assert {channel["address"] for channel in channels.values()} == set(TOPICS)
    assert {channel["bindings"]["kafka"]["topic"] for channel in channels.values()} == set(TOPICS)
    actions = {
        resolve(operation["channel"])["address"]: operation["action"] for operation in document()["operations"].values()
    }
    assert actions == {topic: "receive" if topic in INCOMING else "send" for topic in TOPICS}


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_has_a_schema(topic: str) -> None:
    names = {name for name in (value_name(topic), headers_name(topic)) if name is not None}
    assert names
    assert names <= set(all_schemas())


def test_every_schema_is_valid_and_names_no_host() -> None:
    schemas = all_schemas()
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    assert {schema["$id"] for schema in schemas.values()} == {f"urn:payment-service:schema:{name}" for name in schemas}


def test_every_reference_resolves() -> None:
    found = references(document())
    assert len(found) > 4 * len(TOPICS)
    assert [reference for reference in found if not resolve(reference)] == []


@pytest.mark.parametrize("topic", TOPICS)
def test_every_example_is_a_valid_record(topic: str) -> None:
    message = messages()[topic]
    assert message["examples"]
    for shown in message["examples"]:
        if topic in EVENTS:
            headers = {name: content.encode() for name, content in shown["headers"].items()}
            key, value = shown["payload"]["payment_id"].encode(), json.dumps(shown["payload"]).encode()
            validate_record(topic, key, value, headers)
        else:
            assert shown.get("headers", {}).get("dlq_topic", topic) == topic.removesuffix(".dlq")
            for part in {"headers", "payload"} & set(shown):
                schema = message[part]
                Draft202012Validator(resolve(schema) if "$ref" in schema else schema).validate(shown[part])


def test_every_event_type_has_a_sample() -> None:
    assert {type(event.data) for event in ANNOUNCEMENTS} == set(DATA)


@pytest.mark.parametrize("name", sorted({name for name, _ in TABLES}))
def test_the_tables_of_published_events_are_current(name: str) -> None:
    """`make docs` writes them."""
    page = (ROOT / name).read_text()
    assert with_tables(name, page) == page


def test_a_page_without_the_markers_of_its_table_is_rejected() -> None:
    with pytest.raises(RuntimeError, match="markers"):
        with_tables("docs/records.md", "# Records")


def test_the_declared_statuses_of_a_dispute_are_those_of_the_state_machine() -> None:
    """The consumers' package cannot import the state machine."""
    status = all_schemas()["payments.disputed.value"]["properties"]["status"]
    assert set(status["x-extensible-enum"]) == set(DisputeStatus)


zones = st.builds(timezone, st.timedeltas(timedelta(hours=-14), timedelta(hours=14)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones))  # noqa: DTZ001
def test_every_published_time_fits_its_pattern(time: datetime) -> None:
    assert re.fullmatch(TIME_PATTERN, rfc3339(time))


def test_every_field_read_from_an_order_is_described() -> None:
    read = set(re.findall(r'fields\.get\("(\w+)"\)', Path(orders.__file__).read_text()))
    assert {"order_id", "total", "currency"} <= read <= set(INCOMING[ORDERS_CREATED]["properties"])
    read = set(re.findall(r'fields\.get\("(\w+)"\)', Path(cancelled_orders.__file__).read_text()))
    assert {"order_id", *read} == set(INCOMING[ORDERS_CANCELLED]["properties"])


codes = st.sampled_from(sorted(CURRENCIES)).flatmap(lambda code: st.sampled_from([code, code.upper()]))
anything = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists)
amounts = st.from_regex(r"\A(0|[1-9][0-9]{0,11})(\.[0-9]{1,4})?\Z") | anything
sent = st.fixed_dictionaries(
    {"order_id": st.from_regex(r"\A[!-~]{1,64}\Z") | anything, "total": amounts, "currency": codes | anything},
    optional={
        "user_id": st.text(max_size=300) | anything,
        "items_count": anything,
        "items": anything,
        "note": anything,
    },
)


@given(sent)
@example({"order_id": "a", "total": "1.00", "currency": "EUR", "user_id": None})
def test_an_order_that_breaks_the_schema_is_rejected(order: dict[str, Any]) -> None:
    decoded = decode_order(json.dumps(order).encode(), timestamp_ms=0)
    if isinstance(decoded, Order):
        assert list(against("orders.created.value", order)) == []


@given(sent)
@example({"order_id": "a", "total": "1.00", "currency": "EUR", "user_id": None})
def test_a_schema_valid_order_is_rejected_only_by_rules_beyond_schemas(order: dict[str, Any]) -> None:
    """A schema cannot express currency decimals, the largest amount, printable characters, or card numbers."""
    decoded = decode_order(json.dumps(order).encode(), timestamp_ms=0)
    if isinstance(decoded, Rejected) and validator("orders.created.value").is_valid(order):
        assert decoded.reason in {Reason.BAD_AMOUNT, Reason.BAD_USER_ID, Reason.CARD_NUMBER}
        if decoded.reason is Reason.BAD_AMOUNT:
            decimals = CURRENCIES[order["currency"].lower()].decimals
            whole, _, fraction = order["total"].partition(".")
            assert len(fraction) > decimals or int(whole) * 10**decimals > AMOUNT_MINOR_MAX - 10**decimals


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("topic", INCOMING)
def test_the_headers_of_every_dead_letter_fit_their_schema(topic: str, reason: Reason) -> None:
    record = Record(
        topic=topic, partition=0, offset=0, timestamp_ms=-1, key=b"k", value=None, headers=(("h", None), ("i", b"\xff"))
    )
    letter = dead_letter(record, Rejected(reason, "One sentence."))
    validate_record(f"{topic}.dlq", letter.key, letter.value, dict(letter.headers))
    assert str(reason) in all_schemas()[f"{topic}.dlq.headers"]["properties"]["dlq_reason"]["x-extensible-enum"]
