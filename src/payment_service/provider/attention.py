"""Items of a provider that need an operator, such as money that names no payment.

A provider that has such items brings an `AttentionSource` with its plugin. The commands, `doctor` and the gauges read it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

# The limit of a count, so that monitoring adds little load to a backlog.
COUNT_MAX: Final = 100_000


class AttentionRefused(Exception):
    """The item cannot be retried or closed. The message is one sentence that says what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionItem:
    """An item that needs an operator. `owner` tells items of one name apart, such as the account of a transfer.

    `subject`: the amount, or another short description. `reason`: one word, also a metric label. `detail`: without secrets
    and card numbers.
    """

    name: str
    owner: str
    payment_id: UUID | None
    subject: str
    reason: str
    detail: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSource:
    """A provider's items that need an operator. Each function runs in the caller's transaction, if there is one.

    - `what`: the kind of the items, one word that no other source uses.
    - `noun`: an item in a sentence, in the singular.
    - `items`: the oldest items, at most as many as the limit.
    - `count`: the number of items by reason, each at most COUNT_MAX.
    - `find`: the items with a name, one per owner.
    - `retry`, `close`: change the item with a name and an owner. Return False if it needs no attention any more. Raise
      AttentionRefused.
    """

    what: str
    noun: str
    items: Callable[[Connection, int], Awaitable[Sequence[AttentionItem]]]
    count: Callable[[Connection], Awaitable[Mapping[str, int]]]
    find: Callable[[Connection, str], Awaitable[Sequence[AttentionItem]]]
    retry: Callable[[Connection, str, str], Awaitable[bool]]
    close: Callable[[Connection, str, str], Awaitable[bool]]
