"""JSON Schemas (draft 2020-12) of what crosses Kafka. Pure; `make docs` writes them into `schemas/`, a test compares.

They describe what a reader may rely on and a sender must keep. They allow fields that they don't name: readers ignore what
they don't know, so that fields can be added. They stay within what draft 7 knows too, which AsyncAPI speaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from payment_service.contracts import records
from payment_service.contracts.cancelled_orders import REASON_LIMIT_CHARACTERS
from payment_service.contracts.orders import (
    METADATA_MAX,
    METADATA_NAME_PATTERN,
    METADATA_VALUE_MAX,
    ORDER_ID_PATTERN,
    OWN_METADATA,
    PROVIDER_PATTERN,
    TIME_PATTERN,
    USER_ID_LIMIT_CHARACTERS,
)
from payment_service.domain.order import Reason
from payment_service_events.currency import CURRENCIES
from payment_service_events.declaration import currency_source, value_fields
from payment_service_events.money import Money
from payment_service_events.published_events import DATA, EVENTS

if TYPE_CHECKING:
    from payment_service_events.declaration import EventData

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DEAD_LETTERS: Final = ".dlq"
ANNOUNCED_HEADERS: Final = "payments.headers"

_ORDER_ID: Final[Schema] = {
    "description": "Names the order; printable ASCII without spaces.",
    "type": "string",
    "pattern": f"^{ORDER_ID_PATTERN}$",
}
_ORDER: Final[Schema] = {
    "title": "OrderCreated",
    "description": "An order to be paid. What is not named here is ignored.",
    "type": "object",
    "required": ["order_id", "total", "currency"],
    "properties": {
        "order_id": _ORDER_ID,
        "user_id": {
            "description": "Who ordered; printable characters. Left out or null: nobody that is known.",
            "type": ["string", "null"],
            "maxLength": USER_ID_LIMIT_CHARACTERS,
        },
        "total": {
            "description": "What is to be paid: a decimal string with at most the currency's decimals.",
            "type": "string",
            "pattern": r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,3})?$",
        },
        "currency": {
            "description": "ISO 4217. Mixed case is understood too.",
            "enum": sorted([*CURRENCIES, *map(str.upper, CURRENCIES)]),
        },
        "payment_provider": {
            "description": "Which of the providers that run takes the money. Left out or null: the service decides.",
            "type": ["string", "null"],
            "pattern": f"^{PROVIDER_PATTERN}$",
        },
        "capture_method": {
            "description": "manual: the money is only held, until it is captured. Left out or null: as configured.",
            "enum": ["automatic", "manual", None],
        },
        "expires_at": {
            "description": "When an unpaid order is given up, RFC 3339. Left out or null: as configured.",
            "type": ["string", "null"],
            "pattern": f"^{TIME_PATTERN}$",
        },
        "metadata": {
            "description": "Names and values of the shop: stored, sent to the provider, shown and published. They decide nothing. "
            f"Not {', '.join(sorted(OWN_METADATA))}, which the service sets itself. Left out or null: none.",
            "type": ["object", "null"],
            "maxProperties": METADATA_MAX,
            "propertyNames": {"pattern": f"^{METADATA_NAME_PATTERN}$"},
            "additionalProperties": {"type": "string", "maxLength": METADATA_VALUE_MAX},
        },
        "items_count": {"description": "How many things were ordered. Not read, and not stored."},
        "items": {"description": "What was ordered: product_id, quantity, price. Not read, and not stored."},
    },
}

_CANCELLED_ORDER: Final[Schema] = {
    "title": "OrderCancelled",
    "description": "An order that is not wanted any more. It may come before its order. What is not named here is ignored.",
    "type": "object",
    "required": ["order_id"],
    "properties": {
        "order_id": _ORDER_ID,
        "reason": {
            "description": f"For people: up to {REASON_LIMIT_CHARACTERS} printable characters; anything else is as if left out."
        },
    },
}

# The schema of the value for each topic that is read. Whatever of it can't be accepted goes to the topic with `.dlq` behind.
INCOMING: Final[Mapping[str, Schema]] = MappingProxyType(
    {records.ORDERS_CREATED: _ORDER, records.ORDERS_CANCELLED: _CANCELLED_ORDER}
)

_CURRENCY: Final[Schema] = {"pattern": "^[a-z]{3}$", "type": "string"}
# How `contracts/values.py` encodes a field of a type.
_BY_TYPE: Final[Mapping[Any, Schema]] = MappingProxyType(
    {
        str: {"type": "string"},
        bool: {"type": "boolean"},
        Money: {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,11})(\.[0-9]{2,3})?$"},
        datetime: {"type": "string", "pattern": records.TIME_PATTERN},
        datetime | None: {"type": "string", "pattern": f"^$|{records.TIME_PATTERN}"},
        Mapping[str, str]: {"type": "object", "additionalProperties": {"type": "string"}},
    }
)
_COUNT: Final = "^[1-9][0-9]*$"
_ANNOUNCED: Final[Schema] = {
    "title": "AnnouncedHeaders",
    "description": "CloudEvents 1.0 in binary mode, as UTF-8. There may be others.",
    "type": "object",
    "required": [
        "content-type",
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_time",
        "ce_sequence",
        "ce_attempt",
    ],
    "properties": {
        "content-type": {"const": "application/json"},
        "ce_specversion": {"const": "1.0"},
        "ce_id": {
            "description": "Names what happened: a record that is sent again has the same.",
            "type": "string",
            "format": "uuid",
        },
        "ce_type": {"description": "The name of the topic.", "type": "string", "pattern": r"^payments\.[a-z_]+$"},
        "ce_source": {
            "description": "/payment-service/ and the name of the deployment.",
            "type": "string",
            "pattern": "^/payment-service/.+$",
        },
        "ce_time": {"description": "When it was learned.", "type": "string", "pattern": records.TIME_PATTERN},
        "ce_sequence": {
            "description": "Counts a payment's records over all topics, from 1.",
            "type": "string",
            "pattern": _COUNT,
        },
        "ce_attempt": {"description": "Counts the payments of an order, from 1.", "type": "string", "pattern": _COUNT},
        "traceparent": {
            "description": "W3C Trace Context, where the order came with one.",
            "type": "string",
            "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
        },
    },
}
_DEAD_LETTER: Final[Schema] = {
    "title": "DeadLetterHeaders",
    "description": "Why a record was not accepted and where it stood, as UTF-8; beside them the record's own headers.",
    "type": "object",
    "required": ["dlq_reason", "dlq_detail", "dlq_topic", "dlq_partition", "dlq_offset"],
    "properties": {
        "dlq_reason": {
            "description": "There may be more of them.",
            "type": "string",
            "pattern": "^[a-z0-9_]+$",
            "x-extensible-enum": [str(reason) for reason in Reason],
        },
        "dlq_detail": {"description": "What is wrong and what to do, for people.", "type": "string", "minLength": 1},
        "dlq_topic": {"type": "string", "minLength": 1},
        "dlq_partition": {"type": "string", "pattern": "^[0-9]+$"},
        "dlq_offset": {"type": "string", "pattern": "^[0-9]+$"},
    },
}


def value_name(topic: str) -> str | None:
    """The name of the schema of a topic's values; None for dead letters, whose values are the bytes that others sent."""
    return None if topic.endswith(DEAD_LETTERS) else f"{topic}.value"


def headers_name(topic: str) -> str | None:
    """The name of the schema of a topic's headers; None where they are the sender's own."""
    if topic in EVENTS:
        return ANNOUNCED_HEADERS
    return f"{topic}.headers" if topic.endswith(DEAD_LETTERS) else None


def is_read(name: str) -> bool:
    """Return whether the schema of this name describes a consumed topic."""
    return name.removesuffix(".value") in INCOMING


def all_schemas() -> dict[str, Schema]:
    """Every schema by its name, which is also the name of its file without `.json`; the caller's to keep."""
    found = {f"{topic}.value": schema for topic, schema in INCOMING.items()}
    found |= {f"{topic}{DEAD_LETTERS}.headers": _DEAD_LETTER for topic in INCOMING}
    found |= {f"{topic}.value": _announced(topic) for topic in EVENTS}
    found[ANNOUNCED_HEADERS] = _ANNOUNCED
    return {
        name: {"$schema": DIALECT, "$id": f"urn:payment-service:schema:{name}", **deepcopy(schema)}
        for name, schema in found.items()
    }


def _announced(topic: str) -> Schema:
    """Return the schema of a value, from its declaration. Every field is required."""
    kind = EVENTS[topic]
    fields = value_fields(kind)
    properties: Schema = {}
    for field in fields:
        properties[field.name] = {
            "description": field.about.description,
            **dict(sorted({**_BY_TYPE[field.type], **field.about.keywords}.items())),
        }
        if field is currency_source(fields):
            properties["currency"] = {"description": field.about.currency, **_CURRENCY}
    return {
        "title": kind.__name__,
        "description": description(kind),
        "type": "object",
        "required": list(properties),
        "properties": properties,
    }


def description(kind: type[EventData]) -> str:
    """Return the docstring of the data that an event is declared by."""
    data = next(data for data in DATA if issubclass(kind, data))
    return " ".join((data.__doc__ or "").split())
