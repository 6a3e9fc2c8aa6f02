"""Write what the settings say of themselves into `docs/configuration.md`, `.env.example` and the schema of the chart's values.

A test compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from annotated_types import Ge, Gt, Le, MaxLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from payment_service.config.config import BankTransferSettings, Config
from payment_service.config.kafka_properties import PREFIX
from payment_service.config.secret_files import FILE_SUFFIX, is_secret

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "configuration.md"
ENV_EXAMPLE: Final = ROOT / ".env.example"
CHART_SCHEMA: Final = ROOT / "deploy" / "helm" / "payment-service" / "values.schema.json"
# The chart's Services and probes name the ports that are the defaults.
FIXED_BY_CHART: Final = ("service_port", "metrics_port")
FIELDS: Final[Mapping[str, FieldInfo]] = {**Config.model_fields, **BankTransferSettings.model_fields}
DEFAULT_PROVIDERS: Final = Config.model_fields["providers"].default

# The parts of the page, by how names begin; the first that fits takes a setting.
PARTS: Final = {
    "PostgreSQL": ("db_",),
    "Kafka": ("kafka_",),
    "Orders and payments": ("order", "capture_", "payment_", "max_amount_"),
    "Payment providers": ("provider",),
    "Stripe": ("stripe_",),
    "Bank transfers": ("bank_transfer_",),
    "HTTP": ("service_", "metrics_", "trusted_", "webhook_"),
    "The process": ("",),
}
# Units stand last in names.
UNITS: Final = {
    "_ms": "milliseconds",
    "_s": "seconds",
    "_bytes": "bytes",
    "_minor": "minor units of the order's currency (cents)",
    "_per_second": "calls a second",
}
KINDS: Final = {
    bool: "`true` or `false`",
    timedelta: "a time: `7d`, `12h`, `90m`, or seconds",
    int: "a whole number",
    float: "a number",
}

HEAD: Final = f"""# Configuration

<!-- made by scripts/{Path(__file__).name} from config/config.py and config/sections.py -->

The service reads its environment once, at the start: restart it after a change. Commands read the same variables, and only
those that their help names ([cli.md](cli.md)).

- **Required**: {{required}}. Everything else has a default.
- **Secrets in files.** A variable that ends in `_FILE` is the path of a file with the secret. A line end after the secret is
  ignored. Setting both is an error.
- **Mistakes stop the start.** An invalid value or an unknown name with one of our prefixes gives one line and exit code 2. An
  empty variable counts as not set.
- **Lists** are comma-separated.
- [.env.example](../.env.example) has the same as a file. Providers of other packages have their own settings
  ([providers.md](providers.md)).
"""


def document() -> str:
    """Return the page."""
    required = ", ".join(f"`{name.upper()}`" for name, field in FIELDS.items() if must_be_set(field))
    return "\n".join([HEAD.format(required=required), *(_part(title) for title in PARTS)]).rstrip() + "\n"


def _part(title: str) -> str:
    settings = [(name, field) for name, field in FIELDS.items() if part_of(name) == title]
    rows = [
        f"| {names(name, field)} | {default(field)} | {takes(name, field)} | {field.description} "
        f"| {mark(field, 'change')} |"
        for name, field in settings
    ]
    head = ["| Variable | Default | Takes | What for | When to change it |", "|---|---|---|---|---|"]
    return "\n".join([f"## {title}", "", *head, *rows, ""])


def part_of(name: str) -> str:
    """Give the part of the page that has a setting."""
    return next(title for title, beginnings in PARTS.items() if name.startswith(beginnings))


def env_example() -> str:
    """Give `.env.example`: what has to be set, then what has a default, as a comment."""
    fields = FIELDS.items()
    lines = ["# The environment of payment-service; docs/configuration.md says more. Without a default:", ""]
    lines += [
        f"# {field.description}{in_file(name, field)}\n{name.upper()}=\n"
        for name, field in fields
        if must_be_set(field)
    ]
    lines += ["# With a default, shown here:", ""]
    lines += [
        f"# {field.description}\n# {name.upper()}={text(field.default)}\n"
        for name, field in fields
        if not must_be_set(field) and name != "kafka_config"
    ]
    return "\n".join(lines)


def chart_schema(old: str) -> str:
    """Give the schema of the chart's values with the names under `settings` replaced.

    What a value may be is the service's to say; a number with a fraction would not arrive as it was written.
    """
    value = {"type": ["string", "integer", "boolean"]}
    schema = json.loads(old)
    settings = schema["properties"]["settings"]
    settings["patternProperties"] = {f"^{PREFIX}[A-Z0-9_]+$": value}
    settings["properties"] = {
        name.upper(): {"description": field.description, **value}
        for name, field in FIELDS.items()
        if not is_secret(field) and name not in {*FIXED_BY_CHART, "kafka_config"}
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def mark(field: FieldInfo, name: str) -> str:
    """Give what `settings.about` says of a setting: `change` or `needed_by`; nothing: empty."""
    marks = field.json_schema_extra
    return str(marks.get(name, "")) if isinstance(marks, dict) else ""


def must_be_set(field: FieldInfo) -> bool:
    """Tell whether the service can't start without it, with the providers that run by default."""
    provider = mark(field, "needed_by")
    return provider in DEFAULT_PROVIDERS if provider else field.is_required()


def names(name: str, field: FieldInfo) -> str:
    """Give a setting's variable, and the one that names a file with it."""
    if name == "kafka_config":  # a name for each property
        return f"`{PREFIX}…` or `{PREFIX}…{FILE_SUFFIX}`"
    return f"`{name.upper()}`" + (f" or `{name.upper()}{FILE_SUFFIX}`" if is_secret(field) else "")


def in_file(name: str, field: FieldInfo) -> str:
    """Give the comment on a secret that may stand in a file."""
    return f" Or {name.upper()}{FILE_SUFFIX}= with the file that holds it." if is_secret(field) else ""


def default(field: FieldInfo) -> str:
    """Give a cell of the table."""
    if provider := mark(field, "needed_by"):
        return f"required by `{provider}`"
    if field.is_required():
        return "required"
    return f"`{text(field.default)}`" if text(field.default) else "empty"


def takes(name: str, field: FieldInfo) -> str:
    """Give what may be written: its kind or unit, and its limits."""
    words = [getattr(limit, "pattern", None) or "" for limit in field.metadata]
    if choice := re.fullmatch(r"\^\(([\w|]+)\)\$", "".join(words)):
        return " or ".join(f"`{word}`" for word in choice[1].split("|"))
    return ", ".join(part for part in (_kind(name, field), " ".join(filter(None, _limits(field)))) if part)


def _kind(name: str, field: FieldInfo) -> str:
    if unit := next((words for suffix, words in UNITS.items() if name.endswith(suffix)), ""):
        return unit
    if name == "kafka_config":
        return "text"
    if isinstance(field.default, tuple):
        return "a list"
    return next((words for kind, words in KINDS.items() if field.annotation is kind), "text")


def _limits(field: FieldInfo) -> Iterator[str]:
    for limit in field.metadata:
        match limit:
            case Ge(ge=least):
                yield f"from {_number(least)}"
            case Gt(gt=below):
                yield f"more than {_number(below)}"
            case Le(le=most):
                yield f"to {_number(most)}"
            case MaxLen(max_length=most):
                yield f"at most {most} characters"
            case _:
                pattern = getattr(limit, "pattern", None)
                yield f"`{pattern}`" if pattern else ""


def _number(value: Any) -> str:
    return text(value) if isinstance(value, timedelta) else f"{value:,}"


def text(value: Any) -> str:
    """Write a value as it is written in the environment."""
    match value:
        case timedelta(days=days) if value == timedelta(days=days):
            return f"{days}d" if days else "0"
        case timedelta():
            return f"{int(value.total_seconds()) // 60}m"
        case _ if value is PydanticUndefined:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(value)
        case _:
            return str(value)


def main() -> None:
    """Write all of them."""
    PAGE.write_text(document())
    ENV_EXAMPLE.write_text(env_example())
    CHART_SCHEMA.write_text(chart_schema(CHART_SCHEMA.read_text()))


if __name__ == "__main__":
    main()
