"""Dispatch: claim due operations within the shared budget, make the calls, hand the outcomes to settling.

No transaction is open, and no connection held, while the provider is awaited.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import structlog

from payment_service.crash_points import reached
from payment_service.db import budget, health, operations, payments, workers
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.flows.calls.find_intents import find_intents
from payment_service.flows.calls.listing_windows import group_by_window
from payment_service.flows.calls.outcomes import (
    KEY_HELPS_H,
    NOTHING_YET,
    conclude,
    conclude_lookup,
    conclude_read,
    conclude_without_intent,
    withhold,
)
from payment_service.flows.calls.record_results import record_results
from payment_service.loop import Loop
from payment_service.provider.calls import attempt
from payment_service.provider.port import OWN_INTENT, Call, Kind, TooLate
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from random import Random

    from payment_service.config.config import Config
    from payment_service.db.operations import Claimed
    from payment_service.flows.calls.outcomes import CallResult
    from payment_service.flows.state.context import Context

log = structlog.get_logger(__name__)

HEARTBEAT_INTERVAL_S: Final = 1.0
# A claim that is not on the wire after this time may belong to another worker by now (dead after 5 s), so it is not sent.
SEND_WITHIN_S: Final = 5.0
FREE_FORGOTTEN_INTERVAL_S: Final = 5.0
BLOCKED_CACHE_S: Final = 1.0
# Settle at most this many attempts in one transaction: some 20 ms of work, well under the lock timeout of others.
RECORD_GROUP_MAX: Final = 256
# Outcomes that wait to be settled, per call slot: a database that is slow for a while does not stop the calls.
UNRECORDED_PER_SLOT: Final = 4


def suspended_clock_s() -> float:
    """Seconds by a clock that goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Dispatcher:
    """Works off the operations of the provider `name`."""

    def __init__(
        self,
        context: Context,
        *,
        name: str,
        config: Config,
        random: Random,
        boot_s: Callable[[], float] = suspended_clock_s,
    ) -> None:
        self._context = context
        self._pool = context.pool
        self._provider = context.providers.named(name)
        self._config = config
        self._random = random
        self._boot_s = boot_s
        self.worker: UUID = uuid4()
        self._memory: set[UUID] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._unrecorded: list[CallResult] = []
        self._blocked: frozenset[str] = frozenset()
        self._blocked_read_at = 0.0
        self._freed_at = 0.0
        self._claiming = Loop("dispatch.claim", self.claim_once)
        self._recording = Loop("dispatch.record_results", self.record_once, interval_max_s=0.25)
        self._heartbeating = Loop(
            "dispatch.heartbeat",
            self._heartbeat_once,
            interval_min_s=HEARTBEAT_INTERVAL_S,
            interval_max_s=HEARTBEAT_INTERVAL_S,
        )

    async def start(self) -> None:
        """Enter the process among the workers, and begin."""
        await operations.ensure_budget(self._pool, self._provider.name)
        await workers.register(self._pool, self.worker)
        for loop in (self._heartbeating, self._recording, self._claiming):
            loop.start()

    async def stop(self, grace_s: float) -> None:
        """Claim no more, let calls end within `grace_s`, settle them, leave. What did not end is taken up by others."""
        await self._claiming.stop()
        if self._calls:
            await asyncio.wait(self._calls, timeout=grace_s)
        for call in self._calls:
            call.cancel()
        await self._recording.stop()
        await self._heartbeating.stop()
        try:
            while await self.record_once():
                pass
            await workers.leave(self._pool, self.worker)
        except TRANSIENT_ERRORS as error:
            # What can't be written down now is taken up by others, as after a kill.
            log.warning("left_unsettled", count=len(self._unrecorded), error=type(error).__name__)

    def wake(self) -> None:
        """Say that operations were queued."""
        self._claiming.wake()

    async def claim_once(self) -> int:
        """Claim what fits in the free slots and begin the calls; return how many."""
        await self._free_forgotten()
        slots = min(self._config.provider_concurrency - len(self._calls), self._room())
        if slots <= 0:
            return 0
        blocked = await self._blocked_kinds()
        claimed: list[Claimed] = []
        if health.EVERYTHING in blocked:
            # Nothing to look for: a look would pass over all that has come in meanwhile, ten times a second.
            blocked = frozenset(Kind)
        else:
            claimed = await self._claim(slots, blocked)
        if blocked:
            claimed += await self._claim_probe(blocked)
        return len(claimed)

    async def record_once(self) -> int:
        """Settle what waits; return how many were settled."""
        group, self._unrecorded = self._unrecorded[:RECORD_GROUP_MAX], self._unrecorded[RECORD_GROUP_MAX:]
        if not group:
            return 0
        try:
            group = await self._judge_refusals(group)
            done = await record_results(self._context, group)
        except BaseException:
            self._unrecorded = group + self._unrecorded
            raise
        self._unrecorded.extend(done.waiting)
        self._memory.difference_update(s.operation.id for s in done.settled)
        metrics.BATCH_SIZE.labels("settle").observe(len(group))
        await self._recover(done.settled)
        self._claiming.wake()
        return len(done.settled)

    def _room(self) -> int:
        return self._config.provider_concurrency * UNRECORDED_PER_SLOT - len(self._memory)

    async def _claim(self, slots: int, blocked: frozenset[str]) -> list[Claimed]:
        claimed_boot_s = self._boot_s()
        rate = self._config.provider_rate_per_second
        reached("dispatch.claim.before")
        try:
            claimed = await operations.claim(
                self._pool,
                worker=self.worker,
                provider=self._provider.name,
                slots=slots,
                rate_per_s=rate,
                burst=budget.burst(rate),
                blocked=blocked,
                key_horizon=self._context.now() - timedelta(hours=KEY_HELPS_H),
            )
        except BaseException:
            self._freed_at = 0.0  # the claim may have been committed and its answer lost
            raise
        if claimed:
            reached("dispatch.claim.after")
        for operation in claimed:
            self._memory.add(operation.id)
            metrics.STAGE_SECONDS.labels("due_to_claimed").observe(
                max(0.0, (operation.claimed_at - operation.due_at).total_seconds())
            )
        self._begin(claimed, claimed_boot_s)
        return claimed

    async def _claim_probe(self, blocked: frozenset[str]) -> list[Claimed]:
        """While kinds are blocked, one replica at a time tries one operation of each to see whether it is mended."""
        probes = await health.take_probe(self._pool, self._provider.name)
        claimed: list[Claimed] = []
        for probe in probes:
            allowed = frozenset(Kind) if probe == health.EVERYTHING else frozenset({probe})
            claimed += await self._claim(1, blocked - allowed)
        return claimed

    def _begin(self, claimed: list[Claimed], claimed_boot_s: float) -> None:
        listed = [o for o in claimed if o.resolving and o.kind is Kind.CREATE]
        for group in group_by_window(listed):
            self._spawn(self._resolve_creates(group))
        for operation in claimed:
            if operation not in listed:
                self._spawn(self._attempt(operation, claimed_boot_s))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._calls.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The operation stays claimed in memory's name no longer, so the next sweep gives it back.
            log.error("attempt_failed", error=type(error).__name__, detail=str(error)[:300])
        self._claiming.wake()

    async def _attempt(self, claimed: Claimed, claimed_boot_s: float) -> None:
        def refuse_late() -> None:
            if self._boot_s() - claimed_boot_s > SEND_WITHIN_S:
                raise TooLate

        if (operation := await self._name_intent(claimed)) is None:
            return
        try:
            call = self._word(operation, refuse_late)
            refuse_late()
            moment = "look" if operation.looks_first else "call"
            reached(f"dispatch.{operation.kind}.{moment}.before")
            with metrics.PROVIDER_CALL_SECONDS.labels(self._provider.name, operation.kind).time():
                outcome = await attempt(self._provider, call, limit_s=self._config.provider_timeout_s)
            reached(f"dispatch.{operation.kind}.{moment}.after")
        except TooLate:
            # Forgotten first: if the database can't be told now, the sweep gives it back.
            self._memory.discard(operation.id)
            await operations.release_unsent(self._pool, [operation])
            return
        except BaseException:
            self._memory.discard(operation.id)
            raise
        metrics.PROVIDER_CALLS.labels(self._provider.name, operation.kind, type(outcome).__name__.lower()).inc()
        sort = conclude_lookup if operation.resolving else conclude
        self._finish(sort(operation, outcome, jitter=self._random.random))

    def _word(self, operation: Claimed, refuse_late: Callable[[], None]) -> Call:
        request = operation.request
        if operation.resolving and operation.kind is not Kind.RETRIEVE:
            request = self._provider.lookup_request(operation.request)
        return Call(
            kind=operation.kind,
            operation_id=operation.id,
            payment_id=operation.payment_id,
            request=request,
            idempotency_key=operation.idempotency_key,
            source=f"answer:{operation.id}",
            refuse_late=refuse_late,
        )

    async def _name_intent(self, operation: Claimed) -> Claimed | None:
        """Name the intent in a request that was worded before there was one; None: none was made, so nothing is to be done."""
        if OWN_INTENT not in operation.request.path:
            return operation
        try:
            intent_id = await payments.intent_of(self._pool, operation.payment_id)
        except BaseException:
            self._memory.discard(operation.id)
            raise
        if intent_id is None:
            self._finish(conclude_without_intent(operation))
            return None
        return replace(operation, request=operation.request.about(intent_id))

    async def _resolve_creates(self, claimed: list[Claimed]) -> None:
        """One listing serves all operations in its window."""
        try:
            reached("dispatch.list.call.before")
            found = await find_intents(self._provider, claimed, rate_per_s=self._config.provider_rate_per_second)
            reached("dispatch.list.call.after")
        except BaseException:
            self._memory.difference_update(o.id for o in claimed)
            raise
        for operation in claimed:
            facts = found.get(operation.payment_id, ()) if found is not None else None
            self._finish(conclude_read(operation, facts, jitter=self._random.random))

    def _finish(self, result: CallResult) -> None:
        operation, update = result.operation, result.update
        if update.outcome not in {"done", "found", NOTHING_YET}:
            log.warning(
                "operation_not_done",
                operation_id=str(operation.id),
                payment_id=str(operation.payment_id),
                kind=operation.kind,
                state=update.state,
                outcome=update.outcome,
                code=update.code,
                attempt=operation.attempt,
                provider_request_id=update.request_id,
            )
        self._unrecorded.append(result)
        self._recording.wake()

    async def _judge_refusals(self, group: list[CallResult]) -> list[CallResult]:
        """Block what is refused us. Refusals that turn out to be a run are no answers: their operations stay due."""
        for kind, code in {
            (s.blocked.kind or health.EVERYTHING, s.blocked.code) for s in group if s.blocked is not None
        }:
            await self._block(kind, code)
        for kind in {s.operation.kind for s in group if s.ran_into}:
            run = {s.operation.payment_id for s in group if s.ran_into and s.operation.kind is kind}
            if await health.extend_run(self._pool, self._provider.name, kind, run):
                await self._block(kind, "run_of_unexpected_refusals")
                group = [withhold(s) if s.ran_into and s.operation.kind is kind else s for s in group]
        return group

    async def _recover(self, settled: tuple[CallResult, ...]) -> None:
        """Open what works again."""
        worked = {s.operation.kind.value for s in settled if s.succeeded}
        if worked and (opened := await health.recover(self._pool, self._provider.name, worked)):
            self._blocked_read_at = 0.0
            log.warning("provider_unblocked", provider=self._provider.name, kinds=opened)

    async def _block(self, kind: str, reason: str) -> None:
        if kind not in self._blocked:
            log.error("provider_blocked", provider=self._provider.name, kind=kind, reason=reason)
        self._blocked |= {kind}
        await health.block(self._pool, self._provider.name, kind, reason)

    async def _blocked_kinds(self) -> frozenset[str]:
        if self._boot_s() - self._blocked_read_at > BLOCKED_CACHE_S:
            self._blocked = await health.blocked(self._pool, self._provider.name)
            self._blocked_read_at = self._boot_s()
        return self._blocked

    async def _free_forgotten(self) -> None:
        if self._boot_s() - self._freed_at < FREE_FORGOTTEN_INTERVAL_S:
            return
        if freed := await operations.release_unknown(self._pool, self.worker, self._memory):
            log.warning("operations_freed", count=freed)
        self._freed_at = self._boot_s()

    async def _heartbeat_once(self) -> int:
        await workers.heartbeat(self._pool, self.worker)
        return 0
