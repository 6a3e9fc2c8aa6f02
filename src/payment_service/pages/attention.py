"""Items that need a person: the reason in words, the runbook's advice beside it, and the actions."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

from payment_service.db import attention, quarantine
from payment_service.db.attention import Chosen
from payment_service.domain.card_numbers import mask_bytes
from payment_service.domain.ids import as_uuid
from payment_service.domain.order import Reason
from payment_service.flows.operators.attention import PROVIDER_ID, AttentionItems, OperatorClaim
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.pages.forms import line
from payment_service.pages.guidance import guidance, runbook

if TYPE_CHECKING:
    from starlette.responses import Response

    from payment_service.db.quarantine import QuarantinedRecord
    from payment_service.flows.operators.attention import FoundItem
    from payment_service.pages.site import Visit

# The oldest of each kind. A longer list is an outage, which the runbook handles as a whole.
_SHOWN_MAX: Final = 100
_CONTENT_CHARACTERS_MAX: Final = 10_000
_NAME_MAX: Final = 300
_CLAIMS: Final[dict[str, Literal["happened", "never", "close"]]] = {
    "happened": "happened",
    "never": "never",
    "close": "close",
}


async def overview(visit: Visit) -> Response:
    """List the items, the oldest of each kind first."""
    what = visit.query("what")
    if what and what not in attention.kinds():
        raise Refusal(RefusalReason.INVALID, "Choose a kind of the list.")
    async with visit.parts.reads.acquire() as connection:
        rows = await attention.listed(connection, Chosen(what=what or None), limit=_SHOWN_MAX)
        waiting = await attention.waiting_for_balance(connection, limit=_SHOWN_MAX)
        counts = await attention.count(connection)
    by_kind: dict[str, int] = {}
    for (kind, _), items in counts.items():
        by_kind[kind] = by_kind.get(kind, 0) + items
    listed = [(row, guidance(row["what"], row["reason"])) for row in rows]
    return visit.page(
        "attention.html",
        section="attention",
        items=listed,
        waiting=waiting,
        counts=by_kind,
        what=what,
        shown=_SHOWN_MAX,
    )


async def show(visit: Visit) -> Response:
    """Show one item with its content and actions."""
    return await _page(visit, visit.query("id"), visit.query("owner"))


async def retry(visit: Visit) -> Response:
    """Try an item again."""
    try:
        item = await _find(visit, visit.form.get("id", ""), visit.form.get("owner", ""))
        any_age = visit.form.get("any_age") == "yes"
        asked = {"what": item.what, "id": item.name, "owner": item.owner, **({"any_age": True} if any_age else {})}
        request = visit.change("attention.retry", asked, payment_id=item.payment_id)
        if item.what == "quarantine":
            await _replay(visit, item, any_age=any_age, request=request)
        else:
            await AttentionItems(visit.parts.context).retry(item, request)
    except Refusal as refusal:
        return await _page(visit, visit.form.get("id", ""), visit.form.get("owner", ""), refusal)
    visit.parts.context.wake()
    return visit.redirect("/attention", "retry")


async def resolve(visit: Visit) -> Response:
    """Record what a person found out about an item."""
    try:
        item = await _find(visit, visit.form.get("id", ""), visit.form.get("owner", ""))
        claim = _claim(visit)
        asked = {
            "what": item.what,
            "id": item.name,
            "owner": item.owner,
            "truth": claim.what,
            "provider_id": claim.provider_id,
            "note": claim.note,
        }
        request = visit.change("attention.resolve", asked, payment_id=item.payment_id)
        await AttentionItems(visit.parts.context).resolve(item, claim, request)
    except Refusal as refusal:
        return await _page(visit, visit.form.get("id", ""), visit.form.get("owner", ""), refusal)
    visit.parts.context.wake()
    return visit.redirect("/attention", "resolve")


async def _page(visit: Visit, name: str, owner: str, refusal: Refusal | None = None) -> Response:
    row = await _open_item(visit, name, owner)
    if row is None and refusal is not None:
        raise refusal
    if row is None:
        raise Refusal(RefusalReason.NOT_FOUND, "This item needs no attention any more.")
    content = None
    if row["what"] == "quarantine" and (as_id := as_uuid(name)) is not None:
        content = _content(await quarantine.find(visit.parts.reads, as_id))
    explained = guidance(row["what"], row["reason"])
    return visit.page(
        "item.html",
        section="attention",
        status=HTTPStatus.OK if refusal is None else HTTPStatus.CONFLICT,
        problem=str(refusal) if refusal else None,
        item=row,
        words=explained,
        runbook=runbook()[explained.section],
        content=content,
        too_old=row["reason"] == Reason.TOO_OLD,
        unreadable=row["reason"] == Reason.UNREADABLE,
        entered=visit.form,
    )


async def _open_item(visit: Visit, name: str, owner: str) -> dict[str, Any] | None:
    _require_name(name)
    async with visit.parts.reads.acquire() as connection:
        rows = await attention.listed(connection, Chosen(id=name), limit=_SHOWN_MAX)
    return next((row for row in rows if not owner or row["owner"] == owner), None)


async def _find(visit: Visit, name: str, owner: str) -> FoundItem:
    _require_name(name)
    return await AttentionItems(visit.parts.context).find(f"{owner}:{name}" if await _is_shared(visit, name) else name)


async def _is_shared(visit: Visit, name: str) -> bool:
    async with visit.parts.reads.acquire() as connection:
        return len(await attention.listed(connection, Chosen(id=name), limit=_SHOWN_MAX)) > 1


def _require_name(name: str) -> None:
    if not 0 < len(name) <= _NAME_MAX or not name.isprintable():
        raise Refusal(RefusalReason.NOT_FOUND, "Nothing that needs attention has this id.")


async def _replay(visit: Visit, item: FoundItem, *, any_age: bool, request: Any) -> None:
    name = as_uuid(item.name)
    kept = await quarantine.find(visit.parts.context.pool, name) if name else None
    if name is None or kept is None:
        raise Refusal(RefusalReason.NOT_FOUND, "It is not in quarantine any more.")
    if kept.reason == Reason.UNREADABLE:
        message = "This record must be read from the topic again: use `payment-service attention retry` where Kafka is reachable."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
    await visit.parts.replays(any_age).replay(name, request, None)


def _claim(visit: Visit) -> OperatorClaim:
    what = _CLAIMS.get(visit.form.get("truth", ""))
    if what is None:
        raise Refusal(RefusalReason.INVALID, "Choose what you found out.")
    provider_id = visit.form.get("provider_id", "").strip() if what == "happened" else ""
    if what == "happened" and not PROVIDER_ID.fullmatch(provider_id):
        raise Refusal(RefusalReason.INVALID, "Enter the provider's id of what happened, such as re_….")
    note = line(visit.form, "note", "How you know", needed=True)
    return OperatorClaim(what=what, provider_id=provider_id, note=note)


def _content(kept: QuarantinedRecord | None) -> str:
    """Return the record as text. Card numbers are masked."""
    if kept is None or kept.value is None:
        return ""
    return mask_bytes(kept.value).decode(errors="backslashreplace")[:_CONTENT_CHARACTERS_MAX]
