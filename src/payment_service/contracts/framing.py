"""Name the format of a value that is not the plain JSON of an order, so that the sender knows what to change."""

from __future__ import annotations

from typing import Final

from payment_service.domain.order import Reason, Rejected

_PLAIN: Final = "send plain JSON in UTF-8"
# First bytes, by the formats' own documents. Longer beginnings come first.
_BEGINNINGS: Final = (
    (b"\xff\xfe\x00\x00", Reason.UTF16, f"UTF-32: {_PLAIN}."),
    (b"\x00\x00\xfe\xff", Reason.UTF16, f"UTF-32: {_PLAIN}."),
    (b"\xff\xfe", Reason.UTF16, f"UTF-16: {_PLAIN}."),
    (b"\xfe\xff", Reason.UTF16, f"UTF-16: {_PLAIN}."),
    (b"\xef\xbb\xbf", Reason.BYTE_ORDER_MARK, "UTF-8 with a byte order mark: send it without the first three bytes."),
    (b"\x1f\x8b", Reason.COMPRESSED_VALUE, "gzip"),
    (b"\x28\xb5\x2f\xfd", Reason.COMPRESSED_VALUE, "zstd"),
    (b"\x04\x22\x4d\x18", Reason.COMPRESSED_VALUE, "lz4"),
    (b"\x82SNAPPY\x00", Reason.COMPRESSED_VALUE, "snappy"),
    (b"\xff\x06\x00\x00sNaPpY", Reason.COMPRESSED_VALUE, "snappy"),
    (b"PK\x03\x04", Reason.COMPRESSED_VALUE, "zip"),
    (b"Obj\x01", Reason.BINARY_FORMAT, "an Avro file"),
)
_SCHEMA_ID_BYTES: Final = 5  # the magic byte 0 and a schema id of four bytes
_GLUE_BYTES: Final = 18  # version 3, compression, and a schema id of sixteen bytes
_SAMPLE_BYTES: Final = 64


def framing_of_bytes(value: bytes) -> Rejected | None:
    """Return why a value that is not JSON was rejected, if its format is known."""
    for beginning, reason, name in _BEGINNINGS:
        if value.startswith(beginning):
            return Rejected(reason, _sentence(reason, name))
    sample = value[:_SAMPLE_BYTES]
    if len(sample) > 1 and (not any(sample[1::2]) or not any(sample[::2])):
        return Rejected(Reason.UTF16, f"The value is UTF-16 without a mark: {_PLAIN}.")
    if len(value) > _SCHEMA_ID_BYTES and value[0] == 0:
        return Rejected(Reason.SCHEMA_REGISTRY_FRAMING, _confluent(value))
    if len(value) > _GLUE_BYTES and value[0] == 3 and value[1] in {0, 5}:  # noqa: PLR2004 - the format's numbers
        return Rejected(
            Reason.SCHEMA_REGISTRY_FRAMING,
            f"The value begins with the header of the AWS Glue schema registry: {_PLAIN}, without a registry's serializer.",
        )
    if _looks_binary(value):
        return Rejected(
            Reason.BINARY_FORMAT,
            f"The value is binary, such as Avro, Protobuf or MessagePack: {_PLAIN} (schemas/orders.created.json).",
        )
    return None


def envelope_of(fields: dict[str, object]) -> Rejected | None:
    """Return why an object that contains an order in a field was rejected, or None if it is no known envelope."""
    if "order_id" in fields:
        return None
    if {"specversion", "type", "source"} <= fields.keys():
        return Rejected(
            Reason.CLOUDEVENTS_ENVELOPE,
            "The value is a CloudEvent in structured mode: use the binary mode, with the order as the value and the attributes in headers.",
        )
    payload = fields.get("payload")
    change = payload if isinstance(payload, dict) else fields
    if "op" in change and ("after" in change or "before" in change):
        return Rejected(
            Reason.DEBEZIUM_ENVELOPE,
            "The value is a change event of Debezium: use the transformation ExtractNewRecordState, or better the outbox event router.",
        )
    if {"schema", "payload"} <= fields.keys():
        return Rejected(
            Reason.CONNECT_ENVELOPE,
            "The value is an envelope of Kafka Connect with schema and payload: set value.converter.schemas.enable=false.",
        )
    return None


def _sentence(reason: Reason, name: str) -> str:
    match reason:
        case Reason.COMPRESSED_VALUE:
            return f"The value is compressed ({name}): {_PLAIN}, and let the producer compress (compression.type)."
        case Reason.BINARY_FORMAT:
            return f"The value is {name}: {_PLAIN}."
        case _:
            return f"The value is {name}"


def _confluent(value: bytes) -> str:
    schema_id = int.from_bytes(value[1:_SCHEMA_ID_BYTES], "big")
    return (
        f"The value begins with the header of a schema registry (schema {schema_id}): {_PLAIN}, without the registry's "
        "serializer. For JSON Schema, use a plain JSON serializer."
    )


def _looks_binary(value: bytes) -> bool:
    """Return whether the first byte begins no text: a length or a tag of Avro and Protobuf, or a map of MessagePack."""
    text = value[:_SAMPLE_BYTES].lstrip(b"\t\r\n ")
    return (b"" < text[:1] < b" ") or (b"\x81" <= value[:1] <= b"\x8f" and b"\xa0" <= value[1:2] <= b"\xbf")
