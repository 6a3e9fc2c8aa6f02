"""Claim due operations within the shared budget, call the provider and record the results.

No transaction and no connection stays open during a call.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import structlog

from payment_service.crash_points import reached
from payment_service.db import budget, operations, payments, provider_health, workers
from payment_service.db.clock import steady_s
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.flows.calls.cancel_guard import conclude_guard, is_guarded, retry_stray
from payment_service.flows.calls.find_intents import find_intents
from payment_service.flows.calls.listing_windows import group_by_window
from payment_service.flows.calls.outcomes import (
    KEY_VALID_S,
    NOTHING_YET,
    conclude,
    conclude_lookup,
    conclude_read,
    conclude_without_intent,
    retry_when_unblocked,
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
    from payment_service.provider.port import Outcome

log = structlog.get_logger(__name__)

HEARTBEAT_INTERVAL_S: Final = 1.0
# After 5 s without a heartbeat another worker may own the claim, so an older claim is not sent.
SEND_WITHIN_S: Final = 5.0
RELEASE_INTERVAL_S: Final = 5.0
BLOCKED_CACHE_S: Final = 1.0
# A transaction of about 20 ms, well under the lock timeout of other transactions.
RECORD_GROUP_MAX: Final = 256
# Results that may wait per call slot, so that a slow database does not stop the calls at once.
UNRECORDED_PER_SLOT: Final = 4


class Dispatcher:
    """Process the operations of the provider `name`."""

    def __init__(
        self,
        context: Context,
        *,
        name: str,
        config: Config,
        random: Random,
        boot_s: Callable[[], float] = steady_s,
    ) -> None:
        self._context = context
        self._pool = context.pool
        self._provider = context.providers.named(name)
        self._config = config
        self._random = random
        self._boot_s = boot_s
        self.worker: UUID = uuid4()
        self._owned: set[UUID] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._unrecorded: list[CallResult] = []
        self._blocked: frozenset[str] = frozenset()
        self._blocked_read_at = 0.0
        self._released_at = 0.0
        self._claiming = Loop("dispatch.claim", self.claim_once)
        self._recording = Loop("dispatch.record_results", self.record_once, interval_max_s=0.25)
        self._heartbeating = Loop(
            "dispatch.heartbeat",
            self._heartbeat_once,
            interval_min_s=HEARTBEAT_INTERVAL_S,
            interval_max_s=HEARTBEAT_INTERVAL_S,
        )

    async def start(self) -> None:
        """Register this worker and start the loops."""
        await operations.ensure_budget(self._pool, self._provider.name)
        await workers.register(self._pool, self.worker)
        for loop in (self._heartbeating, self._recording, self._claiming):
            loop.start()

    async def stop(self, grace_s: float) -> None:
        """Stop claiming, give calls `grace_s` to end, record their results and deregister.

        Other workers resume the operations whose calls did not end.
        """
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
            # Other workers resume these operations, as after a kill.
            log.warning("results_left_unrecorded", count=len(self._unrecorded), error=type(error).__name__)

    def wake(self) -> None:
        """Look for new operations without waiting for the interval."""
        self._claiming.wake()

    async def claim_once(self) -> int:
        """Claim what fits into the free slots and start the calls. Return the number of operations claimed."""
        await self._release_forgotten()
        slots = min(self._config.provider_concurrency - len(self._calls), self._result_capacity())
        if slots <= 0:
            return 0
        paused = self._context.paused_kinds(self._provider.name)
        if provider_health.EVERYTHING in paused:
            return 0
        blocked = await self._blocked_kinds()
        # While everything is blocked, a query would scan the whole backlog ten times a second.
        claimed = [] if provider_health.EVERYTHING in blocked else await self._claim(slots, blocked | paused)
        if blocked and not paused:
            claimed += await self._claim_probe()
        return len(claimed)

    async def record_once(self) -> int:
        """Record the pending results. Return the number recorded."""
        group, self._unrecorded = self._unrecorded[:RECORD_GROUP_MAX], self._unrecorded[RECORD_GROUP_MAX:]
        if not group:
            return 0
        try:
            group = await self._block_refused_kinds(group)
            done = await record_results(self._context, group)
        except BaseException:
            self._unrecorded = group + self._unrecorded
            raise
        self._unrecorded.extend(done.deferred)
        self._owned.difference_update(s.operation.id for s in done.recorded)
        metrics.BATCH_SIZE.labels("results").observe(len(group))
        await self._recover(done.recorded)
        self._claiming.wake()
        return len(done.recorded)

    def _result_capacity(self) -> int:
        return self._config.provider_concurrency * UNRECORDED_PER_SLOT - len(self._owned)

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
                key_valid_s=KEY_VALID_S,
            )
        except BaseException:
            self._released_at = 0.0  # the claim may be committed although its response was lost
            raise
        if claimed:
            reached("dispatch.claim.after")
        for operation in claimed:
            self._owned.add(operation.id)
            metrics.STAGE_SECONDS.labels("due_to_claimed").observe(
                max(0.0, (operation.claimed_at - operation.due_at).total_seconds())
            )
        self._begin(claimed, claimed_boot_s)
        return claimed

    async def _claim_probe(self) -> list[Claimed]:
        """Let one replica at a time probe each blocked kind with one operation."""
        probes = await provider_health.take_probe(self._pool, self._provider.name)
        claimed: list[Claimed] = []
        for probe in probes:
            kinds = frozenset(Kind) - self._blocked if probe == provider_health.EVERYTHING else frozenset({Kind(probe)})
            claimed += await self._claim(1, frozenset(Kind) - kinds)
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
            # The operation is not in `_owned` any more, so the next sweep releases it.
            log.error("attempt_failed", error=type(error).__name__, detail=str(error)[:300])
        self._claiming.wake()

    async def _attempt(self, claimed: Claimed, claimed_boot_s: float) -> None:
        def refuse_late() -> None:
            if self._boot_s() - claimed_boot_s > SEND_WITHIN_S:
                raise TooLate

        if (operation := await self._fill_intent_id(claimed)) is None:
            return
        try:
            result = await self._read_first(operation, refuse_late) if is_guarded(operation) else None
            if result is None:
                outcome = await self._call(operation, refuse_late)
                classify = conclude_lookup if operation.resolving else conclude
                result = retry_stray(classify(operation, outcome, jitter=self._random.random))
        except TooLate:
            # Discard it first: if the database fails now, the next sweep releases the operation.
            self._owned.discard(operation.id)
            await operations.release_unsent(self._pool, [operation])
            return
        except BaseException:
            self._owned.discard(operation.id)
            raise
        self._queue_result(result)

    async def _read_first(self, operation: Claimed, refuse_late: Callable[[], None]) -> CallResult | None:
        """Read what a guarded cancel would end. Return the result if it must not be sent."""
        await budget.spend(self._pool, self._provider.name)
        outcome = await self._call(replace(operation, resolving=True), refuse_late)
        return conclude_guard(operation, outcome, jitter=self._random.random)

    async def _call(self, operation: Claimed, refuse_late: Callable[[], None]) -> Outcome:
        call = self._build_call(operation, refuse_late)
        refuse_late()
        moment = "look" if operation.resolving else "call"
        reached(f"dispatch.{operation.kind}.{moment}.before")
        with metrics.PROVIDER_CALL_SECONDS.labels(self._provider.name, operation.kind).time():
            outcome = await attempt(self._provider, call, limit_s=self._config.provider_timeout_s)
        reached(f"dispatch.{operation.kind}.{moment}.after")
        metrics.PROVIDER_CALLS.labels(self._provider.name, operation.kind, type(outcome).__name__.lower()).inc()
        return outcome

    def _build_call(self, operation: Claimed, refuse_late: Callable[[], None]) -> Call:
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

    async def _fill_intent_id(self, operation: Claimed) -> Claimed | None:
        """Fill in the intent id of a request that was built before the intent existed.

        Return None, and finish the operation, if no intent was created.
        """
        if OWN_INTENT not in operation.request.path:
            return operation
        try:
            intent_id = await payments.intent_of(self._pool, operation.payment_id)
        except BaseException:
            self._owned.discard(operation.id)
            raise
        if intent_id is None:
            self._queue_result(conclude_without_intent(operation))
            return None
        return replace(operation, request=operation.request.about(intent_id))

    async def _resolve_creates(self, claimed: list[Claimed]) -> None:
        """List intents once for all creates of a window."""
        try:
            reached("dispatch.list.call.before")
            found = await find_intents(self._provider, claimed, rate_per_s=self._config.provider_rate_per_second)
            reached("dispatch.list.call.after")
        except BaseException:
            self._owned.difference_update(o.id for o in claimed)
            raise
        for operation in claimed:
            facts = found.get(operation.payment_id, ()) if found is not None else None
            self._queue_result(conclude_read(operation, facts, jitter=self._random.random))

    def _queue_result(self, result: CallResult) -> None:
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

    async def _block_refused_kinds(self, group: list[CallResult]) -> list[CallResult]:
        """Block the kinds that the provider refuses.

        Refusals that turn out to be a run are not results: their operations stay due.
        """
        for kind, code in {
            (s.blocked.kind or provider_health.EVERYTHING, s.blocked.code) for s in group if s.blocked is not None
        }:
            await self._block(kind, code)
        for kind in {s.operation.kind for s in group if s.unexpected_refusal}:
            run = {s.operation.payment_id for s in group if s.unexpected_refusal and s.operation.kind is kind}
            if await provider_health.extend_run(self._pool, self._provider.name, kind, run):
                await self._block(kind, "run_of_unexpected_refusals")
                group = [
                    retry_when_unblocked(s) if s.unexpected_refusal and s.operation.kind is kind else s for s in group
                ]
        return group

    async def _recover(self, recorded: tuple[CallResult, ...]) -> None:
        """Unblock the kinds that succeed again."""
        worked = {s.operation.kind.value for s in recorded if s.succeeded}
        if worked and (opened := await provider_health.recover(self._pool, self._provider.name, worked)):
            self._blocked_read_at = 0.0
            log.warning("provider_unblocked", provider=self._provider.name, kinds=opened)

    async def _block(self, kind: str, reason: str) -> None:
        if kind not in self._blocked:
            log.error("provider_blocked", provider=self._provider.name, kind=kind, reason=reason)
        self._blocked |= {kind}
        await provider_health.block(self._pool, self._provider.name, kind, reason)

    async def _blocked_kinds(self) -> frozenset[str]:
        if self._boot_s() - self._blocked_read_at > BLOCKED_CACHE_S:
            self._blocked = await provider_health.blocked(self._pool, self._provider.name)
            self._blocked_read_at = self._boot_s()
        return self._blocked

    async def _release_forgotten(self) -> None:
        if self._boot_s() - self._released_at < RELEASE_INTERVAL_S:
            return
        if released := await operations.release_unknown(self._pool, self.worker, self._owned):
            log.warning("operations_released", count=released)
        # Without its row, for example after a faulty restore, claims get no calls.
        await operations.ensure_budget(self._pool, self._provider.name)
        self._released_at = self._boot_s()

    async def _heartbeat_once(self) -> int:
        await workers.heartbeat(self._pool, self.worker)
        return 0
