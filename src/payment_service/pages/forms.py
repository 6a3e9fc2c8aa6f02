"""Read the body of a form: bounded, urlencoded or with one file, each field once."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from payment_service.domain.guard import clean
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.http.bodies import BODY_LIMIT_BYTES, read_content
from payment_service.http.problems import BAD_REQUEST, UNSUPPORTED_TYPE, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.datastructures import Headers
    from starlette.requests import Request

FIELDS_MAX: Final = 20
NOTE_MAX: Final = 500
_MULTIPART: Final = "multipart/form-data"
_KINDS: Final = frozenset({"application/x-www-form-urlencoded", _MULTIPART})
REASON_MAX: Final = 200
_KEY: Final = re.compile(r"page-[0-9a-f-]{36}")
# Characters that control or reverse text (Unicode TR 36).
_LINE: Final = re.compile(r"[^\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]*")


async def read_form(request: Request, *, limit_bytes: int = BODY_LIMIT_BYTES) -> dict[str, str]:
    """Read the fields. A file is base64, so that a page can send it once more after a preview. Raises Problem: 400, 408, 413, 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _KINDS:
        raise Problem(UNSUPPORTED_TYPE, "Send the form as the page does.")
    content = await read_content(request, limit_bytes=limit_bytes)
    try:
        pairs = await _read_parts(request.headers, content) if kind == _MULTIPART else _read_urlencoded(content)
    except (ValueError, MultiPartException):
        raise Problem(BAD_REQUEST, "The form cannot be read: open the page again.") from None
    form = dict(pairs)
    if len(form) != len(pairs) or ("key" in form and not _KEY.fullmatch(form["key"])):
        raise Problem(BAD_REQUEST, "The form cannot be read: open the page again.")
    return form


def _read_urlencoded(content: bytes) -> list[tuple[str, str]]:
    return parse_qsl(content.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")


async def _read_parts(headers: Headers, content: bytes) -> list[tuple[str, str]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield content

    parser = MultiPartParser(headers, stream(), max_files=1, max_fields=FIELDS_MAX, max_part_size=len(content))
    parts = await parser.parse()
    try:
        return [
            (name, b64encode(await part.read()).decode() if isinstance(part, UploadFile) else part)
            for name, part in parts.multi_items()
        ]
    finally:
        await parts.close()


def line(form: dict[str, str], name: str, label: str, *, length_max: int = REASON_MAX, needed: bool = False) -> str:
    """Return a line of text that a person wrote. Raises Refusal."""
    text = form.get(name, "").strip()
    if needed and not text:
        raise Refusal(RefusalReason.INVALID, f"{label}: write a sentence, because the audit shows it.")
    if len(text) > length_max or not _LINE.fullmatch(text):
        raise Refusal(RefusalReason.INVALID, f"{label}: write one line of at most {length_max} characters.")
    if clean(text) != text:
        message = f"{label}: remove the card number or secret, which the service never stores."
        raise Refusal(RefusalReason.INVALID, message)
    return text
