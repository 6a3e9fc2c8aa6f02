"""JSON bodies of `/v1`, read strictly: invalid input is refused with one sentence."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError
from starlette.requests import ClientDisconnect

from payment_service.config.validation_messages import validation_message
from payment_service.domain.guard import clean
from payment_service.http.problems import BAD_REQUEST, INVALID, TOO_LARGE, TOO_SLOW, UNSUPPORTED_TYPE, Problem

if TYPE_CHECKING:
    from starlette.requests import Request

# The largest valid body, a refund with all its metadata, has 12 kB.
BODY_LIMIT_BYTES: Final = 16_384
# Enough for a body of the maximum size over a slow line, as for webhooks.
READ_TIMEOUT_S: Final = 10.0
_CLOSE: Final = {"Connection": "close"}
# As many entries, and as long, as Stripe allows for an object (https://docs.stripe.com/metadata).
METADATA_MAX: Final = 50


def _without_card_number(text: str) -> str:
    if clean(text) != text:
        message = "contains a card number or a secret, which the service never stores: remove it"
        raise PydanticCustomError("card_number", message)
    return text


_NoCard = AfterValidator(_without_card_number)
_Name = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[\x20-\x7e]+$"), _NoCard]
# Control characters, line separators, and marks that reverse or hide text (Unicode TR 36, "bidirectional text spoofing").
_LINE_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]*$"
# A line of text for people, as a log, a terminal or an email shows it.
Line = Annotated[str, StringConstraints(max_length=200, pattern=_LINE_PATTERN), _NoCard]
_METADATA_SCHEMA: Final = {
    "type": "object",
    "maxProperties": METADATA_MAX,
    "propertyNames": {"type": "string", "minLength": 1, "maxLength": 40, "pattern": "^[ -~]+$"},
    "additionalProperties": {"type": "string", "maxLength": 200, "pattern": _LINE_PATTERN},
}
Metadata = Annotated[dict[_Name, Line], Field(max_length=METADATA_MAX), WithJsonSchema(_METADATA_SCHEMA)]


class Body(BaseModel):
    """A request body. Unknown fields and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


T = TypeVar("T", bound=Body)


async def read_body(request: Request, model: type[T]) -> T:
    """Read the body as `model`. Raises Problem: 400, 413, 415 or 422."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(UNSUPPORTED_TYPE, "Send the body as application/json.")
    content = await read_content(request)
    try:
        return model.model_validate(json.loads(content.decode(), object_pairs_hook=_object, parse_constant=_refuse))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise Problem(INVALID, f"{where}: {validation_message(first)}.") from None
    except (ValueError, RecursionError):
        raise Problem(BAD_REQUEST, "The body is not JSON in UTF-8.") from None


async def read_content(request: Request, *, limit_bytes: int = BODY_LIMIT_BYTES) -> bytes:
    """Read a body of at most `limit_bytes`. Raises Problem: 400, 408 or 413."""
    content = bytearray()
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            async for chunk in request.stream():
                content += chunk
                if len(content) > limit_bytes:
                    raise Problem(TOO_LARGE, f"A body may have at most {limit_bytes} bytes.", headers=_CLOSE)
    except TimeoutError:
        raise Problem(TOO_SLOW, f"The body was not complete after {READ_TIMEOUT_S:g} s.", headers=_CLOSE) from None
    except ClientDisconnect:  # nobody reads this answer
        raise Problem(BAD_REQUEST, "The connection was closed before the body was complete.", headers=_CLOSE) from None
    return bytes(content)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Problem(INVALID, "The body contains the same field twice.")
    return found


def _refuse(_text: str) -> NoReturn:
    raise ValueError
