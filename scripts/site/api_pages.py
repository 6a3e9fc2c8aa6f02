"""Return the reference of the API from `openapi.json`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from scripts.site.schema_tables import Schema, about, json_block, property_table, type_of

OPENAPI: Final = Path(__file__).resolve().parents[2] / "openapi.json"
# The pages of objects, by the end of their names.
OBJECTS: Final = {
    "Entry": ("object-timeline-entries.md", "Entries of a timeline"),
    "Request": ("object-bodies-and-lists.md", "Bodies and lists"),
    "Page": ("object-bodies-and-lists.md", "Bodies and lists"),
    "": ("object-objects.md", "Objects"),
}


def api_pages() -> dict[str, str]:
    """Return each page by name. The calls come first, by tag."""
    described = json.loads(OPENAPI.read_text())
    calls = [
        (f"{method.upper()} {path}", call) for path, item in described["paths"].items() for method, call in item.items()
    ]
    tags = [tag["name"] for tag in described["tags"]]
    calls.sort(key=lambda found: tags.index(found[1]["tags"][0]))
    pages = {f"call-{call['operationId'].replace('_', '-')}.md": _page(line, call, described) for line, call in calls}
    return pages | _objects(described["components"]["schemas"])


def _page(line: str, call: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    return "\n\n".join(part for part in _call(line, call, described) if part) + "\n"


def _call(line: str, call: Mapping[str, Any], described: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {call['summary']}"
    yield f"```http\n{line}\n```"
    yield call.get("description", "")
    yield _key(call.get("security", []))
    if parameters := call.get("parameters"):
        yield "## Parameters"
        yield _parameters(parameters)
    if body := call.get("requestBody"):
        yield "## Body"
        yield from _content(body["content"])
    yield "## Responses"
    yield _responses(call["responses"], described)
    for status, response in call["responses"].items():
        if status.startswith("2"):
            yield from _examples(response.get("content", {}))


def _key(security: list[Mapping[str, list[str]]]) -> str:
    scopes = [scope for one in security for names in one.values() for scope in names]
    if scopes:
        return f"Needs an API key with the scope {' or '.join(f'`{scope}`' for scope in scopes)}."
    return "" if any(security) else "Needs no API key."


def _parameters(parameters: list[Mapping[str, Any]]) -> str:
    rows = [
        f"| `{found['name']}` | {found['in']} | {type_of(found['schema'], _link)} | {'yes' if found.get('required') else ''} "
        f"| {about({**found['schema'], 'description': found.get('description', '')})} |"
        for found in parameters
    ]
    return "\n".join(["| Name | In | Type | Required | Meaning |", "|---|---|---|---|---|", *rows])


def _content(content: Mapping[str, Any]) -> Iterator[str]:
    for kind, found in content.items():
        yield f"`{kind}`: {type_of(found.get('schema', {}), _link)}."
    yield from _examples(content)


def _examples(content: Mapping[str, Any]) -> Iterator[str]:
    for found in content.values():
        values = [found["example"]] if "example" in found else []
        values += [example["value"] for example in found.get("examples", {}).values()]
        yield from (value if isinstance(value, str) else json_block(value) for value in values[:1])


def _responses(responses: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    rows = []
    for status, given in responses.items():
        name = given.get("$ref", "").rpartition("/")[2]
        response = described["components"]["responses"][name] if name else given
        schemas = [found.get("schema", {}) for found in response.get("content", {}).values()]
        shown = ", ".join(dict.fromkeys(type_of(schema, _link) for schema in schemas))
        rows.append(f"| {status} | {about(response)} | {shown} |")
    return "\n".join(["| Status | When | Body |", "|---|---|---|", *rows])


def _objects(schemas: Mapping[str, Schema]) -> dict[str, str]:
    pages: dict[str, list[str]] = {}
    for name, schema in sorted(schemas.items()):
        place, title = _page_of(name)
        parts = pages.setdefault(place, [f"# {title}", "Fields may be added: ignore those that you do not know."])
        parts += [f"## {name}", schema.get("description", ""), property_table(schema, _link)]
    return {place: "\n\n".join(part for part in parts if part) + "\n" for place, parts in pages.items()}


def _page_of(name: str) -> tuple[str, str]:
    return next(found for end, found in OBJECTS.items() if name.endswith(end))


def _link(name: str) -> str:
    return f"[{name}]({_page_of(name)[0]}#{name.lower()})"
