"""Write `schemas/` and `asyncapi.yaml` from the models of what crosses Kafka. A test compares."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Final

import yaml

from payment_service.contracts.records import ORDERS_CANCELLED, ORDERS_CREATED
from payment_service.contracts.schemas import (
    DEAD_LETTERS,
    INCOMING,
    all_schemas,
    description,
    headers_name,
    value_name,
)
from payment_service.domain.events import PaymentEvent
from payment_service_events.types import EVENTS
from scripts.sample_records import ANNOUNCEMENTS, ORDER, record_of

ROOT: Final = Path(__file__).resolve().parents[1]
SCHEMAS: Final = ROOT / "schemas"
ASYNCAPI: Final = ROOT / "asyncapi.yaml"

BINDING: Final = "0.5.0"
ORDER_EXAMPLE: Final = {
    "order_id": ORDER,
    "user_id": "user-7",
    "total": "19.90",
    "currency": "EUR",
    "items_count": 1,
    "items": [{"product_id": "tea-pot", "quantity": 1, "price": "19.90"}],
}
CANCELLED_EXAMPLE: Final = {"order_id": ORDER, "reason": "The customer has changed their mind."}
EXAMPLES: Final = {ORDERS_CREATED: ORDER_EXAMPLE, ORDERS_CANCELLED: CANCELLED_EXAMPLE}
DEAD_LETTER_EXAMPLE: Final = {
    "dlq_reason": "bad_amount",
    "dlq_topic": "orders.created",
    "dlq_partition": "0",
    "dlq_offset": "41",
}

_ABOUT: Final = """\
What payment-service reads from Kafka and writes to it. Brokers are named by the deployment; docs/consuming.md says how to
listen. Each record is published at least once: repeated ones have the same `ce_id`. Of one payment, `ce_sequence` counts the
records over all topics. Fields and topics may be added; ignore what you don't know.
"""
_BY_PAYMENT: Final = "The payment_id. The partition follows from it by murmur2, as Java's default partitioner does."
_BY_SENDER: Final = "The sender's choice; not read. The order_id spreads orders and keeps those of one id together."
_AS_IT_WAS: Final = "The key of the record that was not accepted; over 16,384 bytes its SHA-256 in hex."
_LETTER: Final = "The value of the record that was not accepted, byte for byte, without card numbers; over 512,000 bytes a JSON reference to it."


def schema_files() -> dict[str, str]:
    """The text of each file of `schemas/`, by its name."""
    return {f"{name}.json": _json(schema) for name, schema in all_schemas().items()}


def asyncapi() -> str:
    """The text of `asyncapi.yaml`."""
    head = "# Made by scripts/document_contracts.py (`make docs`) from the models.\n"
    return head + yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as it reads."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Choose the block style where there are lines."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def document() -> dict[str, Any]:
    """AsyncAPI 3.0: a channel, an operation and a message for each topic."""
    topics = [*INCOMING, *(f"{topic}.dlq" for topic in INCOMING), *EVENTS]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "payment-service",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic) for topic in topics},
        "operations": {_operation_name(topic): _operation(topic) for topic in topics},
        "components": {"messages": {topic: _message(topic) for topic in topics}},
    }


def _channel(topic: str) -> dict[str, Any]:
    return {
        "address": topic,
        "messages": {topic: {"$ref": f"#/components/messages/{topic}"}},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": BINDING}},
    }


def _operation_name(topic: str) -> str:
    return f"{'receive' if topic in INCOMING else 'send'}.{topic}"


def _operation(topic: str) -> dict[str, Any]:
    return {
        "action": "receive" if topic in INCOMING else "send",
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{topic}"}],
    }


def _message(topic: str) -> dict[str, Any]:
    if topic in INCOMING:
        schema = INCOMING[topic]
        return {
            **_described(topic, schema["title"], schema["description"]),
            "payload": _ref(value_name(topic)),
            **_key({"type": "string", "description": _BY_SENDER}),
            "examples": [{"name": "order", "payload": EXAMPLES[topic]}],
        }
    if topic in EVENTS:
        return _announced(topic)
    return {
        **_described(topic, "DeadLetter", _LETTER),
        "contentType": "application/octet-stream",
        "headers": _ref(headers_name(topic)),
        "payload": {"description": _LETTER},
        **_key({"description": _AS_IT_WAS}),
        "examples": [
            {
                "name": "letter",
                "headers": DEAD_LETTER_EXAMPLE | {"dlq_topic": topic.removesuffix(DEAD_LETTERS)},
                "payload": {"order_id": ORDER, "total": "19,90"},
            }
        ],
    }


def _announced(topic: str) -> dict[str, Any]:
    kind = EVENTS[topic]
    return {
        **_described(topic, kind.__name__, description(kind)),
        "contentType": "application/json",
        "headers": _ref(headers_name(topic)),
        "payload": _ref(value_name(topic)),
        **_key({"type": "string", "format": "uuid", "description": _BY_PAYMENT}),
        "examples": [
            _example(number, event) for number, event in enumerate(ANNOUNCEMENTS, 1) if event.data.topic == topic
        ],
    }


def _described(topic: str, title: str, summary: str) -> dict[str, Any]:
    return {"name": topic, "title": title, "summary": summary}


def _key(schema: dict[str, Any]) -> dict[str, Any]:
    return {"bindings": {"kafka": {"key": schema, "bindingVersion": BINDING}}}


def _example(number: int, event: PaymentEvent) -> dict[str, Any]:
    record = record_of(event, sequence=number)
    return {
        "name": f"{type(event.data).__name__}{number}",
        "headers": {name: (content or b"").decode() for name, content in record.headers},
        "payload": json.loads(record.value or b""),
    }


def _ref(name: str | None) -> dict[str, str]:
    return {"$ref": f"./schemas/{name}.json"}


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all files, and take away those of schemas that are no more."""
    SCHEMAS.mkdir(exist_ok=True)
    files = schema_files()
    for path in SCHEMAS.glob("*.json"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        (SCHEMAS / name).write_text(text)
    ASYNCAPI.write_text(asyncapi())


if __name__ == "__main__":
    main()
