"""Find payments by any name that people have: an id of ours or of the provider, a bank reference, a user, a card with an amount.

The form of the text decides which queries run. Each is one look into one index (`search.sql`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from payment_service.contracts.api import Payment, SearchHit, SearchResult
from payment_service.db import payment_reads
from payment_service.db.payment_reads import Filters
from payment_service.db.queries import load
from payment_service.domain.ids import as_uuid
from payment_service.provider.plugins import installed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool

_SQL = load(__package__, "search.sql")

TEXT_LENGTH_MAX: Final = 255
HITS_MAX: Final = 100
# The kinds that a search can match (SearchHit.matched), each with its queries.
_IDS: Final = (("payment", _SQL.payments), ("refund", _SQL.refunds), ("dispute", _SQL.disputes))
# Ids of the provider begin with their kind (https://docs.stripe.com/api). Another provider's ids may have any form.
_BY_PREFIX: Final = {
    "pi": ("payment", _SQL.intents),
    "ch": ("charge", _SQL.charges),
    "py": ("charge", _SQL.charges),
    "re": ("refund", _SQL.provider_refunds),
    "pyr": ("refund", _SQL.provider_refunds),
    "du": ("dispute", _SQL.provider_disputes),
    "dp": ("dispute", _SQL.provider_disputes),
    "evt": ("event", _SQL.events),
}
_OF_PROVIDERS: Final = frozenset({_SQL.intents, _SQL.provider_refunds, _SQL.provider_disputes, _SQL.events})
_PREFIXED: Final = re.compile(r"([a-z]{2,3})_[A-Za-z0-9_]+")
_CARD: Final = re.compile(r"([0-9A-Z]{4}) +([0-9]{1,12}(?:\.[0-9]{1,3})?)(?: +([A-Za-z]{3}))?")


@dataclass(frozen=True, slots=True)
class _Query:
    matched: str
    statement: str
    parameters: tuple[Any, ...]


async def search(pool: Pool | Connection, text: str, *, limit: int = HITS_MAX) -> SearchResult:
    """Return the payments that `text` names, at most `limit`. Text that names none gives no hits."""
    text = " ".join(text.split())
    if not text or len(text) > TEXT_LENGTH_MAX or not text.isprintable():
        return SearchResult(data=[], has_more=False)
    found: dict[UUID, tuple[str, str]] = {}
    for query in _queries(text, limit + 1):
        for row in await pool.fetch(query.statement, *query.parameters):
            found.setdefault(row["payment_id"], (query.matched, row["name"]))
    payments = await payment_reads.payments_by_id(pool, list(found)[:limit])
    hits = [SearchHit(matched=found[p["id"]][0], name=found[p["id"]][1], payment=Payment(**p)) for p in payments]
    if len(found) <= limit:
        hits += await _of_user(pool, text, limit + 1 - len(found), known=found)
    return SearchResult(data=hits[:limit], has_more=len(found) > limit or len(hits) > limit)


def _queries(text: str, limit: int) -> Sequence[_Query]:
    """Return the queries for a text of this form."""
    if card := _CARD.fullmatch(text):
        code = card[3].lower() if card[3] else None
        return (_Query("card", _SQL.cards, (card[1], limit, card[2], code)),)
    queries = [_query("order", _SQL.orders, text, limit)]
    if as_uuid(text) is not None:
        return [*queries, *(_query(matched, statement, text, limit) for matched, statement in _IDS)]
    prefix = _PREFIXED.fullmatch(text)
    if prefix is not None and prefix[1] in _BY_PREFIX:
        return [*queries, _query(*_BY_PREFIX[prefix[1]], text, limit)]
    # References of banks, and ids of providers whose ids say nothing about their kind.
    references = (("payment", _SQL.intents), ("bank_reference", _SQL.bank_references))
    return [*queries, *(_query(matched, statement, text, limit) for matched, statement in references)]


def _query(matched: str, statement: str, text: str, limit: int) -> _Query:
    providers = ([*installed()],) if statement in _OF_PROVIDERS else ()
    return _Query(matched, statement, (text, limit, *providers))


async def _of_user(pool: Pool | Connection, text: str, limit: int, *, known: dict[UUID, Any]) -> list[SearchHit]:
    """Return the newest payments of the user with this id. A user may have any number of them."""
    rows = await payment_reads.payments(pool, Filters(user_id=text), limit=limit)
    return [SearchHit(matched="user", name=text, payment=Payment(**row)) for row in rows if row["id"] not in known]
