"""Write what the command line says of itself, and the models that `--json` prints, into `docs/cli.md`. A test compares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer
from pydantic import BaseModel

from payment_service import cli
from payment_service.contracts import operators
from payment_service.contracts.api import Payment, Refund

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
# What each command prints with --json.
MODELS: Final[dict[str, type[BaseModel]]] = {
    "show": operators.Cases,
    "refund": Refund,
    "capture": Payment,
    "cancel": Payment,
    "keys list": operators.ApiKeys,
    "keys revoke": operators.ApiKeys,
    "bank import": operators.Statement,
    "bank confirm": operators.StatementLine,
    "parked list": operators.ParkedList,
    "parked retry": operators.Released,
    "parked resolve": operators.Released,
    "outbox status": operators.OutboxStatus,
    "outbox republish": operators.Republished,
    "quarantine list": operators.QuarantinedList,
    "quarantine show": operators.QuarantinedContent,
    "quarantine replay": operators.Replayed,
}
INTRODUCTION: Final = """# The command line

<!-- made by scripts/document_commands.py from payment_service.cli -->

Every command reads the environment of the service and needs no more of it than it says; a setting that is missing is
one line. Tables are for people; `--json` prints one line of JSON for machines, in ASCII, on standard output. All else is
told on standard error. What is shown can't steer a terminal: what can't be printed is written as an escape.

| Exit code | Meaning |
|---|---|
| 0 | done, or done before; of what the provider has to do: asked for, and durable (`show` tells what comes of it) |
| 1 | failed or refused, with the reason; nothing was changed |
| 2 | usage or configuration |
| 3 | schema or topics are missing |
| 4 | there is no such thing |
| 5 | not now, nothing was changed: the same again in a moment |

**Changes are made once.** Each has a key, which is shown: the same command with that `--key` does nothing twice, whoever
runs it. `refund`, `capture` and `cancel` make the key from what is wanted (action, payment, amount), so that Enter pressed
twice, or two people with one ticket, refund once. Who wants the same a second time on purpose gives a key of their own.
Each change is in the table `audit`, with the person's name on that machine. What moves money asks first; scripts say
`--yes`.

**Set `DEPLOYMENT`** as the service has it: a command that would change another deployment's database refuses.

**Version**: `payment-service --version`.

**Completion**: `payment-service --install-completion` teaches it to the shell that you are in. Where no home folder is
kept, such as in a container: `eval "$(_PAYMENT_SERVICE_COMPLETE=source_bash payment-service)"` (or `source_zsh`,
`source_fish`).
"""


def document() -> str:
    """Give the page."""
    commands = [_command(name, command) for name, command in _walk(typer.main.get_command(cli.app), "")]
    models = {name: model for shown in MODELS.values() for name, model in _models(shown)}
    described = [_model(name, model) for name, model in sorted(models.items())]
    return "\n".join([INTRODUCTION, "## Commands\n", *commands, "## What `--json` prints\n", *described])


def _walk(command: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, child in command.commands.items():
        if hasattr(child, "commands"):
            yield from _walk(child, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", child


def _command(name: str, command: Any) -> str:
    params = [param for param in command.params if not getattr(param, "hidden", False) and param.name != "help"]
    arguments = [param for param in params if param.param_type_name == "argument"]
    words = [f"{_metavar(param)}" if param.required else f"[{_metavar(param)}]" for param in arguments]
    lines = [f"### `payment-service {' '.join([name, *words])}`", "", (command.help or "").strip(), ""]
    told = [f"- `{_usage(param)}`: {_sentence(param)}" for param in params]
    if any("--json" in param.opts for param in params):
        told[[param.name for param in params].index("as_json")] += f" Prints `{MODELS[name].__name__}`."
    return "\n".join([*lines, *told, ""] if told else lines)


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _usage(param: Any) -> str:
    if param.param_type_name == "argument":
        return _metavar(param)
    name = str(max(param.opts, key=len))
    return name if param.is_flag else f"{name} {param.metavar or name.strip('-').replace('-', '_').upper()}"


def _sentence(param: Any) -> str:
    needed = " Required." if param.required and param.param_type_name == "option" else ""
    return f"{param.help or ''}{needed}"


def _models(model: type[BaseModel]) -> Iterator[tuple[str, dict[str, Any]]]:
    schema = model.model_json_schema(mode="serialization")
    yield model.__name__, schema
    yield from schema.get("$defs", {}).items()


def _model(name: str, schema: dict[str, Any]) -> str:
    rows = [
        f"| `{field}` | {_type(described)} | {described.get('description', '')} |"
        for field, described in schema.get("properties", {}).items()
    ]
    return "\n".join(
        [f"### `{name}`", "", schema.get("description", ""), "", "| Field | Type | |", "|---|---|---|", *rows, ""]
    )


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "const" in schema:
        return f"`{schema['const']}`"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(option) for option in options)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any")


def main() -> None:
    """Write the page."""
    PAGE.write_text(document())


if __name__ == "__main__":
    main()
