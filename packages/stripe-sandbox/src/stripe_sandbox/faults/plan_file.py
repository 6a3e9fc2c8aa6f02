"""Parse fault plans, from the control API or the file given with `--faults`."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from stripe_sandbox.faults.rules import Plan, PlanError


def read_plan(path: Path) -> Plan:
    """Read a plan. Raises `PlanError`, or `OSError` if the file cannot be read."""
    try:
        return parse_plan(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PlanError(f"{path}: {error}") from None


def parse_plan(text: str | bytes) -> Plan:
    """Parse a plan. Raises `PlanError`."""
    try:
        return Plan.model_validate_json(text)
    except ValidationError as error:
        raise PlanError(first_error(error)) from None


def first_error(error: ValidationError) -> str:
    """Describe the first validation error, prefixed with its location."""
    first = error.errors(include_url=False, include_input=False)[0]
    location = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown field"
    if first["type"] == "missing":
        message = "required field is missing"
    return f"{location}: {message}" if location else message
