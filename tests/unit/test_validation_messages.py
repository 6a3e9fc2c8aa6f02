"""Validation errors of pydantic are shown in the words of this service."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import pytest
from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError, field_validator
from pydantic_core import ErrorDetails, ErrorTypeInfo, PydanticCustomError
from pydantic_core._pydantic_core import list_all_errors

from payment_service.config.validation_messages import validation_message


class Named(BaseModel, extra="forbid"):
    name: str = Field(max_length=3)

    @field_validator("name")
    @classmethod
    def _refuse(cls, name: str) -> str:
        if name == "bad":
            raise ValueError("write a better one")
        if name == "odd":
            raise PydanticCustomError("odd", "write an even one")
        return name


OWN_SENTENCES = {"value_error", "assertion_error"}  # the check that raised them wrote the message
KNOWN = [known for known in list_all_errors() if known["type"] not in OWN_SENTENCES]


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known["type"])
def test_no_message_of_pydantic_is_shown(known: ErrorTypeInfo) -> None:
    found = {"type": known["type"], "msg": known["example_message_python"], "ctx": known.get("example_context") or {}}
    message = validation_message(cast("ErrorDetails", found))
    assert message
    assert message not in found["msg"]
    assert not {"{", "\n"} & set(message)
    assert "nput should" not in message


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Annotated[int, Field(le=100)], 101, "must be at most 100"),
        (Annotated[int, Field(ge=1)], 0, "must be at least 1"),
        (int, "ten", "must be a whole number"),
        (Annotated[timedelta, Field(ge=timedelta(minutes=1))], timedelta(seconds=5), "must be at least 1 minute"),
        (Literal["automatic", "manual"], "later", "must be 'automatic' or 'manual'"),
        (UUID, "o-1", "must be a UUID"),
        (AwareDatetime, "2026-12-25T14:00:00", "must be a time with a time zone, such as 2026-12-25T14:00:00Z"),
        (Annotated[str, Field(pattern="^[a-z]{1,64}$")], "A", "must match ^[a-z]{1,64}$"),
        (Named, "x", "must be an object"),
        (Named, {}, "is missing"),
        (Named, {"name": "long"}, "must have at most 3 characters"),
        (Named, {"name": "x", "nam": "x"}, "is unknown: remove it"),
        (Named, {"name": "bad"}, "write a better one"),
        (Named, {"name": "odd"}, "write an even one"),
    ],
)
def test_a_message_states_what_to_write(kind: Any, value: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    assert validation_message(caught.value.errors()[0]) == message
