"""Read the body of a form: bounded, urlencoded, each field once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from payment_service.domain.guard import clean
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.http.bodies import read_content
from payment_service.http.problems import BAD_REQUEST, UNSUPPORTED_TYPE, Problem

if TYPE_CHECKING:
    from starlette.requests import Request

FIELDS_MAX: Final = 20
NOTE_MAX: Final = 500
REASON_MAX: Final = 200
_KEY: Final = re.compile(r"page-[0-9a-f-]{36}")
# Characters that control or reverse text (Unicode TR 36).
_LINE: Final = re.compile(r"[^\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]*")


async def read_form(request: Request) -> dict[str, str]:
    """Read the fields. Raises Problem: 400, 413, 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Problem(UNSUPPORTED_TYPE, "Send the form as the page does.")
    content = await read_content(request)
    try:
        pairs = parse_qsl(content.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:
        raise Problem(BAD_REQUEST, "The form cannot be read: open the page again.") from None
    form = dict(pairs)
    if len(form) != len(pairs) or ("key" in form and not _KEY.fullmatch(form["key"])):
        raise Problem(BAD_REQUEST, "The form cannot be read: open the page again.")
    return form


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
