"""A fault plan as text, from the control API or from the file that `--faults` names."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from stripe_sandbox.faults.rules import Plan, PlanError


def read_plan(path: Path) -> Plan:
    """Raises `PlanError`, and `OSError` when the file can't be read."""
    try:
        return parse_plan(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PlanError(f"{path}: {error}") from None


def parse_plan(text: str | bytes) -> Plan:
    """Raises `PlanError`."""
    try:
        return Plan.model_validate_json(text)
    except ValidationError as error:
        raise PlanError(first_error(error)) from None


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong, after the place where it is."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such field"
    if first["type"] == "missing":
        message = "this field is needed"
    return f"{place}: {message}" if place else message
