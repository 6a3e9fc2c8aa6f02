"""Compare a provider's objects with our rows, in both directions.

Each kind of object is listed in pages of 100 and compared with one statement per table. The objects that differ are looked at again
after a few seconds: a webhook or a result of a call may be on its way. A difference that remains is repaired or recorded. Then
rows whose objects no page contained are read one by one, and so are older differences that are still open.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from payment_service.crash_points import reached
from payment_service.db import comparisons
from payment_service.db.keyset import NO_ID, KeysetCursor
from payment_service.db.reconciliations import Counts
from payment_service.domain.differences import Sides
from payment_service.domain.refund import RefundFact
from payment_service.flows.reconciliation.journal import Step
from payment_service.flows.reconciliation.judgments import (
    KINDS,
    MISSING,
    Judgment,
    Rows,
    judge,
    missing_object,
    stray_cancel_id,
)
from payment_service.flows.reconciliation.list_progress import ListProgress
from payment_service.flows.reconciliation.repairs import Repaired, repair
from payment_service.provider.listed_objects import PAGE_SIZE, ListedObject, NoObject, ObjectKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payment_service.domain.differences import Difference
    from payment_service.flows.reconciliation.journal import Journal
    from payment_service.flows.reconciliation.provider_reads import ProviderReads
    from payment_service.flows.state.context import Context

# A webhook arrives within seconds, and a call ends within its timeout of 10 s.
LOOK_AGAIN_S: Final = 5.0
LOOKS_MAX: Final = 3
# About 4 MB of objects that wait for another look.
WAITING_MAX: Final = 2_000

_LIST, _ROWS, _OPEN = "list", "rows", "open"
"""Phases, as the first word of a position: `list refund re_1`, `rows intent 2026-12-01T00:00:00+00:00 <id>`."""


@dataclass(frozen=True, slots=True)
class _Look:
    """An object that differs. `position`: where a resumed run sees it again, and `order` of that position.

    `due_s`: time of the next look.
    """

    listed: ListedObject
    position: str
    order: int
    due_s: float
    looks: int = 1


class ProviderObjects:
    """The comparison with one provider."""

    sides = Sides.PROVIDER

    def __init__(self, context: Context, reads: ProviderReads, *, look_again_s: float = LOOK_AGAIN_S) -> None:
        self._context = context
        self._reads = reads
        self._look_again_s = look_again_s
        self._waiting: deque[_Look] = deque()
        self._pages = 0
        self.name = f"provider:{reads.name}"

    async def compare(self, journal: Journal, position: str) -> None:
        """Compare all kinds. A position is a phase, a kind and a place within it."""
        self._waiting.clear()
        await self._reads.prepare()
        phases = [*((_LIST, kind) for kind in ObjectKind), *((_ROWS, kind) for kind in comparisons.WITH_ROWS)]
        words = position.split()
        begin = 0
        if words[:1] == [_OPEN]:
            begin = len(phases)
        elif words:
            begin = phases.index((words[0], ObjectKind(words[1])))
        for number, (phase, kind) in enumerate(phases[begin:], begin + 1):
            place = words[2:] if (phase, kind.value) == tuple(words[:2]) else []
            await (self._compare_list if phase == _LIST else self._compare_rows)(journal, kind, place)
            following = " ".join(phases[number]) if number < len(phases) else _OPEN
            await self._look_again(journal, following, everything=True)
        await self._compare_open(journal, words[1:] if words[:1] == [_OPEN] else [])

    async def _compare_list(self, journal: Journal, kind: ObjectKind, place: Sequence[str]) -> None:
        window, after = journal.window, place[0] if place else ""
        created_from, created_to = int(window.since.timestamp()), int(window.until.timestamp())
        progress = ListProgress(self._reads.name, created_from)
        while True:
            here = f"{_LIST} {kind} {after}".rstrip()
            page = await self._reads.page(journal, kind, created_from=created_from, created_to=created_to, after=after)
            following = f"{_LIST} {kind} {page.after or ''}".rstrip()
            await self._compare_page(journal, page.objects, here, following if page.after else here)
            await self._look_again(journal, following if page.after else here)
            if page.after is None:
                return
            progress.advance(page.objects[-1].created if page.objects else 0)
            after = page.after

    async def _compare_rows(self, journal: Journal, kind: ObjectKind, place: Sequence[str]) -> None:
        """Read the objects of rows that no page contained."""
        cursor = KeysetCursor(datetime.fromisoformat(place[0]), place[1]) if place else None
        cursor = cursor or KeysetCursor(journal.window.since, NO_ID)
        while True:
            here = f"{_ROWS} {kind} {cursor.at.isoformat()} {cursor.name}"
            rows = await comparisons.created_rows(
                self._context.pool, kind, self._reads.name, after=cursor, until=journal.window.until, limit=PAGE_SIZE
            )
            if not rows:
                return
            unlisted = await journal.unlisted([row.object_id for row in rows])
            missing, found = [], []
            for row in (row for row in rows if row.object_id in unlisted):
                answer = await self._reads.one(journal, kind, row.object_id)
                if isinstance(answer, NoObject):
                    missing.append(missing_object(kind, row))
                else:
                    found.append(answer)
            cursor = KeysetCursor(rows[-1].created_at, str(rows[-1].id))
            following = f"{_ROWS} {kind} {cursor.at.isoformat()} {cursor.name}"
            await self._compare_page(journal, found, here, following, compared=len(rows))
            await self._settle(journal, missing, following)
            await self._look_again(journal, following)

    async def _compare_open(self, journal: Journal, after: Sequence[str]) -> None:
        """Look again at open differences of objects outside the window, so that they are resolved when they end."""
        place = (after[0], after[1]) if after else ("", "")
        while open_ones := await journal.open_before(self.sides, self._reads.name, place, PAGE_SIZE):
            for one in open_ones:
                await self._look_at_open(journal, one.code, one.subject)
            place = open_ones[-1].code, open_ones[-1].subject

    async def _look_at_open(self, journal: Journal, code: str, subject: str) -> None:
        kind = KINDS.get(code, ObjectKind.INTENT)
        answer = await self._reads.one(journal, kind, subject)
        if isinstance(answer, NoObject):
            row = await comparisons.row_of_object(self._context.pool, kind, self._reads.name, subject)
            judgments = [missing_object(kind, row)] if row is not None and code in MISSING else []
        else:
            rows = await self._rows_of([answer], journal)
            judgments = [one for one in judge(answer, rows) or [] if one.difference.code == code]
        position = f"{_OPEN} {code} {subject}"
        if judgments:
            await self._settle(journal, judgments, position)
            return
        step = Step(comparison=self.name, position=position, counts=Counts(compared=1), resolved=[(code, subject)])
        async with self._context.pool.acquire() as connection, connection.transaction():
            await journal.commit(connection, step)

    async def _compare_page(
        self,
        journal: Journal,
        objects: Sequence[ListedObject],
        here: str,
        following: str,
        *,
        compared: int | None = None,
    ) -> None:
        """Compare a page, and keep what differs for another look. `here` and `following`: positions around the page."""
        rows = await self._rows_of(objects, journal)
        judged = [(listed, judge(listed, rows)) for listed in objects]
        due_s = time.monotonic() + self._look_again_s
        self._pages += 1
        self._waiting.extend(_Look(listed, here, self._pages, due_s) for listed, found in judged if found)
        ours = [listed.object_id for listed, found in judged if found is not None]
        counts = Counts(
            compared=len(objects) if compared is None else compared,
            ignored=sum(found is None for _, found in judged),
        )
        step = Step(comparison=self.name, position=self._resume_at(following), counts=counts, listed=ours)
        async with self._context.pool.acquire() as connection, connection.transaction():
            await journal.commit(connection, step)

    def _resume_at(self, following: str) -> str:
        """Return the position of the earliest object that waits, or `following`."""
        return min(self._waiting, key=lambda look: look.order).position if self._waiting else following

    async def _look_again(self, journal: Journal, following: str, *, everything: bool = False) -> None:
        """Look again at the objects whose time has come, at most a page at once; `everything` waits for all of them."""
        while self._waiting:
            wait_s = self._waiting[0].due_s - time.monotonic()
            if wait_s > 0 and not everything and len(self._waiting) < WAITING_MAX:
                return
            if wait_s > 0:
                await journal.keep()
                await journal.pace.pause(wait_s)
            now_s = time.monotonic()
            group: list[_Look] = []
            while self._waiting and self._waiting[0].due_s <= now_s and len(group) < PAGE_SIZE:
                group.append(self._waiting.popleft())
            await self._decide(journal, group, following)

    async def _decide(self, journal: Journal, group: Sequence[_Look], following: str) -> None:
        rows = await self._rows_of([look.listed for look in group], journal)
        judged = [(look, judgment) for look in group for judgment in judge(look.listed, rows) or []]
        looks = {look.listed.object_id: look for look in group}
        certain = [judgment for look, judgment in judged if not judgment.in_flight]
        moving = [look for look, judgment in judged if judgment.in_flight]
        postponed = self._postpone(moving)
        locked = await self._settle(journal, certain, following, postponed=postponed)
        if again := [looks[judgment.difference.subject] for judgment in locked]:
            postponed = self._postpone(again)
            await self._settle(journal, [], following, postponed=postponed)

    def _postpone(self, looks: Sequence[_Look]) -> int:
        """Queue objects for another look. Return the number of those that had their last one."""
        unique = {look.listed.object_id: look for look in looks}.values()
        due_s = time.monotonic() + self._look_again_s
        again = [replace(look, looks=look.looks + 1, due_s=due_s) for look in unique if look.looks < LOOKS_MAX]
        self._waiting.extend(again)
        return len(unique) - len(again)

    async def _settle(
        self, journal: Journal, judgments: Sequence[Judgment], following: str, *, postponed: int = 0
    ) -> Sequence[Judgment]:
        """Repair what is certain, and record all. Return the judgments whose payments are locked."""
        if not judgments and not postponed:
            return ()
        await journal.keep()
        async with self._context.pool.acquire() as connection, connection.transaction():
            if journal.repairs:
                done = await repair(connection, self._context, judgments)
            else:
                found = tuple(judgment.difference for judgment in judgments)
                done = Repaired(self._context.fold({}), found, ())
            step = Step(
                comparison=self.name,
                position=self._resume_at(following),
                counts=_count(done.found, postponed),
                found=done.found,
                provider=self._reads.name,
            )
            await journal.commit(connection, step)
            reached("reconcile.commit.before")
        reached("reconcile.commit.after")
        self._context.after_commit(done.fold)
        journal.report(done.found)
        return done.locked

    async def _rows_of(self, objects: Sequence[ListedObject], journal: Journal) -> Rows:
        """Read our rows about objects, with one statement per table."""
        pool, name, deployment = self._context.pool, self._reads.name, self._context.deployment
        refund_facts = [listed.fact for listed in objects if isinstance(listed.fact, RefundFact)]
        refunds = []
        if refund_facts:
            provider_ids = [fact.provider_refund_id for fact in refund_facts]
            ids = [fact.refund_id for fact in refund_facts if fact.refund_id is not None]
            refunds = await comparisons.refunds_of_objects(pool, name, provider_ids, ids)
        disputes = [listed.object_id for listed in objects if listed.kind is ObjectKind.DISPUTE]
        named = {listed.payment_id for listed in objects if listed.payment_id and listed.deployment == deployment}
        known = await comparisons.payments_of_objects(
            pool,
            name,
            {listed.intent_id for listed in objects if listed.intent_id},
            named | {refund.payment_id for refund in refunds},
        )
        rows = Rows(
            deployment=deployment,
            by_intent={one.payment.provider_payment_id: one for one in known if one.payment.provider_payment_id},
            by_id={one.payment.id: one for one in known},
            refunds={refund.id: refund for refund in refunds},
            refunds_by_provider_id={one.provider_refund_id: one for one in refunds if one.provider_refund_id},
            disputes=await comparisons.disputes_of_objects(pool, name, disputes) if disputes else {},
        )
        return await self._with_context(rows, objects, journal)

    async def _with_context(self, rows: Rows, objects: Sequence[ListedObject], journal: Journal) -> Rows:
        """Add the cancels of second intents that have ended, and the intents that are reported already."""
        strangers = [listed for listed in objects if rows.owner(listed) is None and rows.named(listed) is not None]
        if not strangers:
            return rows
        cancels = [stray_cancel_id(listed.payment_id, listed.object_id) for listed in strangers if listed.payment_id]
        intents = [one.intent_id for one in strangers if one.kind is ObjectKind.CHARGE and one.intent_id]
        ended = await comparisons.finished_operations(self._context.pool, cancels)
        reported = await journal.reported(intents) if intents else set()
        return replace(rows, ended=frozenset(ended), reported=frozenset(reported))


def _count(found: Sequence[Difference], postponed: int) -> Counts:
    repaired = sum(difference.repaired for difference in found)
    return Counts(found=len(found), repaired=repaired, postponed=postponed)
