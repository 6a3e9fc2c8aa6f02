"""Return the reference of the topics from `asyncapi.yaml`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from scripts.site.schema_tables import Schema, json_block, property_table

ROOT: Final = Path(__file__).resolve().parents[2]
HEAD: Final = {
    "receive": "# Topics that the service reads",
    "send": "# Topics that the service writes",
}
ABOUT: Final = "The same for machines: [asyncapi.yaml](../asyncapi.yaml), an AsyncAPI 3.0 document."


def record_pages() -> dict[str, str]:
    """Return the text of each page by name."""
    document = yaml.safe_load((ROOT / "asyncapi.yaml").read_text())
    return {"topics-read.md": _page("receive", document), "topics-written.md": _page("send", document)}


def _page(action: str, document: Mapping[str, Any]) -> str:
    parts = [
        HEAD[action],
        document["info"]["description"].replace("docs/consuming.md", "[Consuming](../docs/consuming.md)"),
    ]
    parts.append(ABOUT)
    headers = ""
    for operation in document["operations"].values():
        if operation["action"] != action:
            continue
        topic = operation["channel"]["$ref"].rpartition("/")[2]
        message = document["components"]["messages"][topic]
        reference = message.get("headers", {}).get("$ref", "")
        parts += _message(topic, message, same_headers=bool(reference) and reference == headers)
        headers = reference
    return "\n\n".join(part for part in parts if part) + "\n"


def _message(topic: str, message: Mapping[str, Any], *, same_headers: bool) -> Iterator[str]:
    yield f"## {topic}"
    yield message["summary"]
    yield f"**Key.** {message['bindings']['kafka']['key']['description']}"
    if same_headers:
        yield "**Headers.** As above."
    elif "headers" in message:
        yield "**Headers**"
        yield property_table(_read(message["headers"]), str)
    if table := property_table(_read(message["payload"]), str):
        yield "**Value**"
        yield table
    example = message["examples"][0]
    yield "**Example**"
    yield json_block(example["payload"])


def _read(schema: Schema) -> Schema:
    """Follow a reference to a file of `schemas/`."""
    found: Schema = json.loads((ROOT / schema["$ref"]).read_text()) if "$ref" in schema else schema
    return found
