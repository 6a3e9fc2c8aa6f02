"""Unmatched transfers: money without a reference of ours. An operator assigns them to a payment or closes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

from payment_service.db.queries import load
from payment_service.provider.attention import COUNT_MAX, AttentionItem, AttentionRefused, AttentionSource

if TYPE_CHECKING:
    from payment_service.db.pool import Connection

NO_REFERENCE: Final = "no_reference"

_SQL = load(__package__, "attention.sql")


async def unmatched(connection: Connection, limit: int) -> list[AttentionItem]:
    """Return the oldest unmatched transfers."""
    return [_item(row) for row in await connection.fetch(_SQL.items, limit)]


async def count(connection: Connection) -> dict[str, int]:
    """Count the unmatched transfers."""
    return {NO_REFERENCE: await connection.fetchval(_SQL.count, COUNT_MAX)}


async def find(connection: Connection, transaction_id: str) -> list[AttentionItem]:
    """Return the unmatched transfers with a transaction id, one per account."""
    return [_item(row) for row in await connection.fetch(_SQL.find, transaction_id)]


async def refuse_retry(_connection: Connection, _transaction_id: str, _account: str) -> NoReturn:
    """Raise AttentionRefused: only an operator can say whose money it is."""
    message = "A transfer cannot be retried: assign it with `payment-service bank confirm ORDER --transaction ID`, or close it."
    raise AttentionRefused(message)


async def close(connection: Connection, transaction_id: str, account: str) -> bool:
    """Close an unmatched transfer; False if it is not unmatched."""
    return bool(await connection.fetch(_SQL.close, transaction_id, account))


ATTENTION: Final = AttentionSource(
    what="transfer", noun="unmatched transfer", items=unmatched, count=count, find=find, retry=refuse_retry, close=close
)


def _item(row: Any) -> AttentionItem:
    return AttentionItem(payment_id=None, reason=NO_REFERENCE, **row)
