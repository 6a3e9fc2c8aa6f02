"""Apply stored events of the providers again, through the same code as a webhook.

An event that was applied before changes nothing. An event that was parked or ignored is applied if it can be applied now.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from payment_service.db import events
from payment_service.flows.requests.idempotency import ChangeResult, change_once
from payment_service.flows.state.batches import isolate_errors
from payment_service.flows.webhooks.apply import LOCKED_RETRY_S, Webhooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from payment_service.db.events import StoredEvent, StoredKey
    from payment_service.db.pool import Connection
    from payment_service.flows.requests.idempotency import ChangeRequest
    from payment_service.flows.state.context import Context

# A transaction of about 60 ms, well under the lock timeout of other transactions.
GROUP_EVENTS: Final = 200
# Keys read at once: 10,000 keys take about 2 MB.
PAGE_KEYS: Final = 10_000
# A payment that stays locked for 5 s (20 tries) is reported instead.
LOCKED_TRIES_MAX: Final = 20
# Changed events that are named in the result. All are counted.
NAMED_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSelection:
    """The events to replay: these ids, or those that occurred since a time."""

    ids: Sequence[str] = ()
    since: datetime | None = None


@dataclass(slots=True)
class EventReplay:
    """The result of a replay. `changed` names up to NAMED_MAX events; `changes` counts all of them.

    `unresolved` counts events that are still not applied; `failed` those that raised an error; `locked` those whose payment
    stayed locked.
    """

    events: int = 0
    changes: int = 0
    unresolved: int = 0
    failed: int = 0
    locked: int = 0
    changed: list[dict[str, Any]] = field(default_factory=list)

    def add(self, found: dict[str, Any]) -> None:
        """Add the result of a group."""
        self.events += found["events"]
        self.changes += len(found["changed"])
        self.unresolved += found["unresolved"]
        self.failed += found["failed"]
        self.changed += found["changed"][: NAMED_MAX - len(self.changed)]


class _Undo(Exception):
    """Roll a group back after a dry run."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__("dry run")
        self.found = found


class ReplayEvents:
    """Replay stored events."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._webhooks = Webhooks(context)

    async def replay(self, selection: EventSelection, change_request: ChangeRequest, *, dry_run: bool) -> EventReplay:
        """Replay events group by group. Raise Refusal.

        Each group is a change with its own key, so a repeated request skips the groups that are done. A dry run rolls each
        group back; it does not show the effect of one group on the next.
        """
        total, number = EventReplay(), 0
        async for group in self._groups(selection):
            number += 1
            keys: Sequence[StoredKey] = group
            for tried in range(LOCKED_TRIES_MAX):
                found = await self._change(
                    keys, replace(change_request, key=f"{change_request.key}.{number}.{tried}"), dry_run=dry_run
                )
                total.add(found)
                keys = [(provider, name, datetime.fromisoformat(at)) for provider, name, at in found["locked"]]
                if not keys:
                    break
                await asyncio.sleep(LOCKED_RETRY_S)
            total.locked += len(keys)
        return total

    async def _groups(self, selection: EventSelection) -> AsyncIterator[Sequence[StoredKey]]:
        pool = self._context.pool
        if selection.since is None:
            keys = await events.keys_of(pool, self._context.providers.by_name.keys(), selection.ids)
            for group in _in_groups(keys):
                yield group
            return
        after: StoredKey | None = None
        while page := await events.keys_since(pool, selection.since, after, PAGE_KEYS):
            after = page[-1]
            for group in _in_groups(page):
                yield group

    async def _change(self, keys: Sequence[StoredKey], group: ChangeRequest, *, dry_run: bool) -> dict[str, Any]:
        async def work(connection: Connection) -> ChangeResult:
            return ChangeResult(await self._replay_group(connection, keys))

        if not dry_run:
            found = (await change_once(self._context.pool, group, work)).result
            self._context.wake()
            return dict(found)
        try:
            async with self._context.pool.acquire() as connection, connection.transaction():
                raise _Undo(await self._replay_group(connection, keys))
        except _Undo as undo:
            return undo.found

    async def _replay_group(self, connection: Connection, keys: Sequence[StoredKey]) -> dict[str, Any]:
        stored = await events.lock_stored(connection, keys)
        done: list[tuple[StoredEvent, events.Result]] = []
        failed = 0
        with isolate_errors("replay_group_failed", size=len(stored)):
            async with connection.transaction():
                done = await self._apply(connection, stored)
                stored = []
        for one in stored:
            failed += 1
            with isolate_errors("event_not_replayed", level=logging.ERROR, event_id=one.event_id):
                async with connection.transaction():
                    done += await self._apply(connection, [one])
                    failed -= 1
        return {
            "events": len(keys) - sum(result.result == "waiting" for _, result in done),
            "changed": [_named(was, result) for was, result in done if _changes(was, result)],
            "unresolved": sum(not result.processed and result.result != "waiting" for _, result in done),
            "locked": [
                (was.provider, was.event_id, was.occurred_at.isoformat())
                for was, result in done
                if result.result == "waiting"
            ],
            "failed": failed,
        }

    async def _apply(
        self, connection: Connection, stored: Sequence[StoredEvent]
    ) -> list[tuple[StoredEvent, events.Result]]:
        before = {(one.provider, one.event_id): one for one in stored}
        _, results = await self._webhooks.apply_stored(connection, stored)
        done = [(before[result.event.key], result) for result in results]
        changed = [result for was, result in done if _changes(was, result)]
        if changed:
            await events.record_replayed(connection, changed)
        return done


def _in_groups(keys: Sequence[StoredKey]) -> Iterator[Sequence[StoredKey]]:
    return (keys[begin : begin + GROUP_EVENTS] for begin in range(0, len(keys), GROUP_EVENTS))


def _changes(was: StoredEvent, result: events.Result) -> bool:
    """Return whether the replay changed the payment, or ended the wait of an event."""
    return result.processed and (result.result == "applied" or not was.processed)


def _named(was: StoredEvent, result: events.Result) -> dict[str, Any]:
    payment_id = result.payment_id or result.event.payment_id
    return {
        "provider": was.provider,
        "id": was.event_id,
        "type": was.event_type,
        "payment_id": str(payment_id) if payment_id else None,
        "before": was.result,
        "result": result.result,
    }
