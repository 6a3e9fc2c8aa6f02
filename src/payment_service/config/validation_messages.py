"""Validation messages: pydantic's errors as instructions. They never repeat the invalid value."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, get_args

from pydantic_core.core_schema import ErrorType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

_BOOLEAN: Final = "must be true or false"
_CHOICE: Final = "must be {expected}"
_DURATION: Final = "must be a duration such as 90m, 12h or 7d"
_INTEGER: Final = "must be a whole number"
_NUMBER: Final = "must be a number"
_OBJECT: Final = "must be an object"
_TIME: Final = "must be a time with a time zone, such as 2026-12-25T14:00:00Z"
_UUID: Final = "must be a UUID"

# See https://docs.pydantic.dev/latest/errors/validation_errors/. Names in braces are limits from pydantic's context.
_SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bool_parsing": _BOOLEAN,
        "bool_type": _BOOLEAN,
        "datetime_from_date_parsing": _TIME,
        "datetime_parsing": _TIME,
        "datetime_type": _TIME,
        "dict_type": _OBJECT,
        "enum": _CHOICE,
        "extra_forbidden": "is unknown: remove it",
        "float_parsing": _NUMBER,
        "float_type": _NUMBER,
        "greater_than": "must be more than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "int_from_float": _INTEGER,
        "int_parsing": _INTEGER,
        "int_parsing_size": "has too many digits",
        "int_type": _INTEGER,
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be at most {le}",
        "literal_error": _CHOICE,
        "missing": "is missing",
        "model_attributes_type": _OBJECT,
        "model_type": _OBJECT,
        "string_pattern_mismatch": "must match {pattern}",
        "string_too_long": "must have at most {max_length} characters",
        "string_too_short": "must have at least {min_length} characters",
        "string_type": "must be a string",
        "string_unicode": "must be text in UTF-8",
        "time_delta_parsing": _DURATION,
        "time_delta_type": _DURATION,
        "timezone_aware": _TIME,
        "too_long": "must have at most {max_length} entries",
        "uuid_parsing": _UUID,
        "uuid_type": _UUID,
    }
)
_PYDANTIC_TYPES: Final = frozenset(get_args(ErrorType))


def validation_message(problem: ErrorDetails) -> str:
    """Return the predicate of a sentence whose subject is the value's name, without a full stop."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in _SENTENCES:
        return _SENTENCES[kind].format(**context)
    if kind == "value_error":  # raised by a validator of this service
        return str(context["error"])
    return "is not valid" if kind in _PYDANTIC_TYPES else problem["msg"]
