"""The API description as one HTML page without scripts."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

_STYLE: Final = (
    "body{font:16px/1.5 system-ui;max-width:56rem;margin:2rem auto;padding:0 1rem}code,pre{background:#f2f2f2}"
    "code{padding:.1rem .3rem}pre{padding:.5rem;overflow:auto}dt{font-weight:600}h2{margin-top:3rem}"
)
_LIMITS: Final = ("minimum", "maximum", "minLength", "maxLength", "maxProperties", "pattern", "enum", "default")


def page(description: dict[str, Any]) -> str:
    """Render an API description as one HTML page."""
    title = escape(description["info"]["title"])
    operations = "".join(
        _operation(f"{method.upper()} {path}", operation, description["components"])
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    )
    schemas = "".join(_schema(name, schema) for name, schema in sorted(description["components"]["schemas"].items()))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title} {escape(description['info']['version'])}</h1><p>{_text(description['info']['description'])}</p>"
        '<p>As OpenAPI 3.1: <a href="/openapi.json">/openapi.json</a></p>'
        f"{_keys(description['components']['securitySchemes'])}{operations}<h2>Objects</h2>{schemas}</html>"
    )


def _keys(schemes: Mapping[str, Schema]) -> str:
    return "".join(
        f"<p><code>Authorization: Bearer</code>: {_text(one['description'])}.</p>" for one in schemes.values()
    )


def _operation(name: str, operation: Schema, components: Schema) -> str:
    scopes = [scope for key in operation.get("security", []) for one in key.values() for scope in one]
    scope = f" Needs the scope <code>{escape(', '.join(scopes))}</code>." if scopes else ""
    parameters = "".join(map(_parameter, operation.get("parameters", [])))
    answers = "".join(
        _answer(status, components["responses"][answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer)
        for status, answer in operation["responses"].items()
    )
    return (
        f"<h2 id={operation['operationId']}><code>{escape(name)}</code></h2>"
        f"<p>{_text(operation['summary'])}. {_text(operation.get('description', ''))}{scope}</p>"
        f"<dl>{parameters}</dl>{_body(operation)}<h3>Answers</h3><dl>{answers}</dl>"
    )


def _parameter(parameter: Schema) -> str:
    needed = ", required" if parameter.get("required") else ""
    schema = parameter["schema"]
    shown = parameter.get("example", next(iter(schema.get("examples", [])), None))
    example = f" Example: <code>{escape(str(shown))}</code>." if shown is not None else ""
    return (
        f"<dt><code>{escape(parameter['name'])}</code> ({escape(parameter['in'])}{needed})</dt>"
        f"<dd>{_text(parameter.get('description', ''))}{example}{_limits(schema)}</dd>"
    )


def _body(operation: Schema) -> str:
    return f"<h3>Body</h3>{_content(operation['requestBody'])}" if "requestBody" in operation else ""


def _answer(status: str, answer: Schema) -> str:
    headers = "".join(
        f"<br><code>{escape(name)}</code>: {_text(header['description'])}"
        for name, header in answer.get("headers", {}).items()
    )
    return f"<dt>{escape(status)}</dt><dd>{_text(answer['description'])}{headers}{_content(answer)}</dd>"


def _content(holder: Schema) -> str:
    return "".join(
        f"<p>{escape(kind)}: {_type(content['schema'])}</p>{_examples(content)}"
        for kind, content in holder.get("content", {}).items()
    )


def _examples(content: Schema) -> str:
    values = [one["value"] for one in content.get("examples", {}).values()]
    shown = values or [content["example"]]
    text = "\n".join(json.dumps(value, ensure_ascii=False, indent=None if values else 2) for value in shown)
    return f"<details><summary>Example</summary><pre>{escape(text)}</pre></details>"


def _schema(name: str, schema: Schema) -> str:
    needed = schema.get("required", [])
    fields = "".join(
        f"<dt><code>{escape(field)}</code> {_type(one)}{'' if field in needed else ', may be absent'}</dt>"
        f"<dd>{_text(one.get('description', ''))}{_limits(one)}</dd>"
        for field, one in schema.get("properties", {}).items()
    )
    return f"<h3 id={name}>{escape(name)}</h3><p>{_text(schema.get('description', ''))}</p><dl>{fields}</dl>"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(map(_type, choices))
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    return escape(schema.get("format") or schema.get("type") or json.dumps(schema.get("const", "anything")))


def _limits(schema: Schema) -> str:
    limits = ", ".join(f"{name} {_plain(schema[name])}" for name in _LIMITS if name in schema)
    return f" <small>({escape(limits)})</small>" if limits else ""


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def _text(text: str) -> str:
    """Render text between backquotes as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if odd % 2 else part for odd, part in enumerate(parts))
