"""Return tables of the properties of a JSON schema as Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]
Link = Callable[[str], str]


def property_table(schema: Schema, link: Link) -> str:
    """Return a row per property. `link` returns the text for the name of a schema."""
    required = schema.get("required", [])
    rows = [
        f"| `{name}` | {type_of(found, link)} | {'yes' if name in required else ''} | {about(found)} |"
        for name, found in schema.get("properties", {}).items()
    ]
    return "\n".join(["| Name | Type | Required | Meaning |", "|---|---|---|---|", *rows]) if rows else ""


def type_of(schema: Schema, link: Link) -> str:
    """Return the type in words, with links to referenced schemas."""
    if ref := schema.get("$ref"):
        return link(ref.rpartition("/")[2])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if choices := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(type_of(choice, link) for choice in choices))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {type_of(schema.get('items', {}), link)}"
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def about(schema: Schema) -> str:
    """Return the description with values, limits and default, in one cell of a table."""
    parts = [schema.get("description", "")]
    if values := schema.get("enum") or schema.get("x-extensible-enum"):
        parts.append(f"Values: {', '.join(f'`{value}`' for value in values)}.")
    limits = {"minLength": "at least {} characters", "maxLength": "at most {} characters", "maxItems": "at most {}"}
    limits |= {"minimum": "at least {}", "maximum": "at most {}", "maxProperties": "at most {} entries"}
    if shown := [text.format(f"{schema[name]:,}") for name, text in limits.items() if name in schema]:
        parts.append(f"Limits: {', '.join(shown)}.")
    if schema.get("default") not in (None, ""):
        parts.append(f"Default: `{json.dumps(schema['default'])}`.")
    return " ".join(part for part in parts if part).replace("\n", " ").replace("|", "\\|")


def json_block(value: object) -> str:
    """Return a fenced block of JSON."""
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"
