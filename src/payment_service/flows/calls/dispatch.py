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
from payment_service.flows.calls.blocks import Blocks
from payment_service.flows.calls.cancel_guard import is_guarded, retry_stray
from payment_service.flows.calls.claims import Claims
from payment_service.flows.calls.create_lookups import CreateLookups
from payment_service.flows.calls.outcomes import (
    KEY_VALID_S,
    conclude,
    conclude_lookup,
    conclude_without_intent,
)
from payment_service.flows.calls.record_results import RECORD_ENOUGH, RECORD_GROUP_MAX, record_results, recording_loop
from payment_service.flows.calls.search_start import SearchStart
from payment_service.flows.calls.sender import Sender, log_result
from payment_service.flows.state.reservation import Reservation
from payment_service.loop import Loop
from payment_service.provider.port import OWN_INTENT, Kind, TooLate
from payment_service.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from random import Random

    from payment_service.config.config import Config
    from payment_service.db.operations import Claimed
    from payment_service.flows.calls.outcomes import CallResult
    from payment_service.flows.state.context import Context

log = structlog.get_logger(__name__)

HEARTBEAT_INTERVAL_S: Final = 1.0
# After 5 s without a heartbeat another worker may own the claim, so an older claim is not sent.
SEND_WITHIN_S: Final = 5.0
# Each heartbeat reports what became due. A claim without a signal searches from the beginning (`SearchStart`).
CLAIM_INTERVAL_MAX_S: Final = 6.0
CLAIM_PAUSE_S: Final = 0.02  # after a claim that found only operations that another process is claiming
# The pause of a claim that has used up the tokens: one claim for several calls. Half of the burst, so that none is lost.
TOKENS_PAUSE_S: Final = budget.BURST_S / 2
DEFERRED_PAUSE_S: Final = 0.05  # a lock on a payment lasts milliseconds
# Results that may wait per call slot, so that a slow database does not stop the calls at once.
UNRECORDED_PER_SLOT: Final = 4
# So many creates that are looked for take no slots, so that other calls go on. Each takes about 1 kB.
LOOKUPS_MAX: Final = 1_000


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
        self._sender = Sender(context.pool, self._provider, limit_s=config.provider_timeout_s, jitter=random.random)
        self._config = config
        self._random = random
        self._boot_s = boot_s
        self.worker: UUID = uuid4()
        self._claims = Claims(context.pool, name, self.worker, steady_s=boot_s)
        self._owned = self._claims.owned
        self._blocks = Blocks(context.pool, name, steady_s=boot_s)
        self._lookups = CreateLookups(
            self._provider,
            rate_per_s=config.provider_rate_per_second,
            jitter=random.random,
            report=self._queue_result,
            abandon=self._abandon,
        )
        self._calls: set[asyncio.Task[None]] = set()
        self._unrecorded: list[CallResult] = []
        self._claim_again = False
        self._next_claim: asyncio.TimerHandle | None = None
        self._open = False
        self._work_left = True  # until a claim finds nothing more
        self._reserved = 0
        self._search = SearchStart(boot_s)
        self._slots_were_short = False
        self._claiming = Loop("dispatch.claim", self._claim_round, interval_max_s=CLAIM_INTERVAL_MAX_S)
        self._recording = recording_loop(
            self.record_once, lambda: len(self._unrecorded) >= min(RECORD_ENOUGH, config.provider_concurrency)
        )
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
        self._open = True

    async def stop(self, grace_s: float) -> None:
        """Stop claiming, give calls `grace_s` to end, record their results and deregister.

        Other workers resume the operations whose calls did not end.
        """
        self._open = False
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

    @property
    def provider_name(self) -> str:
        """Return the name of the provider whose operations it processes."""
        return self._provider.name

    @property
    def has_free_slots(self) -> bool:
        """Return whether a call may start now."""
        return self._free_slots() > 0

    def wake(self) -> None:
        """Look for new operations without waiting for the interval."""
        self._claiming.wake()

    async def _claim_round(self) -> int:
        """Claim. Return 0 if the next round can wait for a signal or the interval."""
        self._claim_again = False
        await self.claim_once()
        return int(self._claim_again)

    async def reserve(self, calls: int) -> Reservation | None:
        """Reserve up to so many creates, if they may be sent at once and nothing waits. Use the reservation, or withdraw it."""
        began_boot_s = self._boot_s()
        free = min(calls, self._free_slots())
        paused = self._context.paused_kinds(self._provider.name) | await self._blocks.kinds()
        if not self._open or self._work_left or free <= 0 or paused & {Kind.CREATE.value, provider_health.EVERYTHING}:
            return None
        self._reserved += free
        reached("dispatch.claim.before")
        try:
            granted = await budget.take(
                self._pool, self._provider.name, rate_per_s=self._config.provider_rate_per_second, calls=free
            )
        except BaseException:
            self._reserved -= free
            raise
        self._reserved -= free - granted
        return Reservation(self, self.worker, granted, began_boot_s) if granted else None

    def hold(self, operation_ids: Sequence[UUID]) -> None:
        """Count operations as ours before they are committed, so that no look for forgotten ones releases them."""
        self._owned.update(operation_ids)

    def begin_reserved(self, reservation: Reservation, claimed: Sequence[Claimed]) -> None:
        """Start the calls that were committed. Tokens that are left go back."""
        reached("dispatch.claim.after")
        self._reserved -= reservation.calls
        self._begin(list(claimed), reservation.since_boot_s)
        if unused := reservation.calls - len(claimed):
            self._spawn(budget.give_back(self._pool, self._provider.name, unused))

    def withdraw(self, reservation: Reservation, operation_ids: Sequence[UUID]) -> None:
        """Free the slots. The operations may be committed although the answer was lost."""
        self._reserved -= reservation.calls
        self._owned.difference_update(operation_ids)
        self._claims.look_for_forgotten()
        self._claiming.wake()

    async def claim_once(self) -> int:
        """Claim what fits into the free slots and start the calls. Return the number of operations claimed."""
        await self._claims.release_forgotten()
        slots = self._free_slots()
        self._slots_were_short = slots <= 0
        if slots <= 0:
            return 0
        paused = self._context.paused_kinds(self._provider.name)
        if provider_health.EVERYTHING in paused:
            return 0
        blocked = await self._blocks.kinds()
        # While everything is blocked, a query would scan the whole backlog ten times a second.
        claimed = (
            [] if provider_health.EVERYTHING in blocked else await self._claim(slots, blocked | paused, self._search)
        )
        if blocked and not paused:
            claimed += await self._claim_probe()
        return len(claimed)

    async def record_once(self) -> int:
        """Record the pending results. Return the number recorded."""
        group, self._unrecorded = self._unrecorded[:RECORD_GROUP_MAX], self._unrecorded[RECORD_GROUP_MAX:]
        if not group:
            return 0
        try:
            group = await self._blocks.block_refused_kinds(group)
            done = await record_results(self._context, group)
        except BaseException:
            self._unrecorded = group + self._unrecorded
            raise
        self._unrecorded.extend(done.deferred)
        if done.deferred:
            asyncio.get_running_loop().call_later(DEFERRED_PAUSE_S, self._recording.wake)
        self._owned.difference_update(s.operation.id for s in done.recorded)
        metrics.BATCH_SIZE.labels("results").observe(len(group))
        if done.refused:
            await self._blocks.recover(done.recorded)
        if self._slots_were_short or done.followed:
            self._claiming.wake()
        for delay_s in {s.update.delay_s for s in done.recorded if s.update.state == "due"}:
            self._wake_later(delay_s)
        return len(done.recorded)

    def _free_slots(self) -> int:
        """Return how many calls may start now. Results that wait to be recorded also take slots."""
        looked_for = min(self._lookups.count, LOOKUPS_MAX)
        capacity = self._config.provider_concurrency * UNRECORDED_PER_SLOT - len(self._owned) + looked_for
        return min(self._config.provider_concurrency - len(self._calls), capacity) - self._reserved

    def _claim_later(self, seconds: float) -> None:
        """Plan the next claim instead of the one that was planned."""
        if self._next_claim is not None:
            self._next_claim.cancel()
        self._next_claim = self._wake_later(seconds)

    def _wake_later(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._claiming.wake)

    async def _claim(self, slots: int, blocked: frozenset[str], search: SearchStart) -> list[Claimed]:
        claimed_boot_s = self._boot_s()
        rate = self._config.provider_rate_per_second
        reached("dispatch.claim.before")
        try:
            batch = await operations.claim(
                self._pool,
                worker=self.worker,
                provider=self._provider.name,
                slots=slots,
                rate_per_s=rate,
                burst=budget.burst(rate),
                blocked=blocked,
                key_valid_s=KEY_VALID_S,
                due_after=search.begin(blocked),
            )
        except BaseException:
            self._claims.look_for_forgotten()  # the claim may be committed although its response was lost
            raise
        search.end(batch.looked_until)
        claimed = batch.operations
        if claimed:
            reached("dispatch.claim.after")
        for operation in claimed:
            self._owned.add(operation.id)
            metrics.STAGE_SECONDS.labels("due_to_claimed").observe(
                max(0.0, (operation.claimed_at - operation.due_at).total_seconds())
            )
        self._begin(claimed, claimed_boot_s)
        if batch.free_calls is None:
            self._claims.look_for_forgotten()  # without the row of the budget, claims get no calls
        self._work_left = batch.looked_until < batch.at
        if self._work_left:
            self._plan_next_claim(claimed=len(claimed), slots=slots, tokens=batch.free_calls or 0)
        return claimed

    def _plan_next_claim(self, *, claimed: int, slots: int, tokens: int) -> None:
        """Claim what was left when that is possible: after the end of a call, when there are tokens again, or at once."""
        if claimed >= slots:
            self._slots_were_short = True
        elif claimed >= tokens:
            self._claim_later(min(CLAIM_INTERVAL_MAX_S, max(TOKENS_PAUSE_S, 1 / self._config.provider_rate_per_second)))
        elif claimed:
            self._claim_again = True
        else:
            self._claim_later(CLAIM_PAUSE_S)

    async def _claim_probe(self) -> list[Claimed]:
        """Let one replica at a time probe each blocked kind with one operation."""
        probes = await provider_health.take_probe(self._pool, self._provider.name)
        claimed: list[Claimed] = []
        for probe in probes:
            kinds = (
                frozenset(Kind) - self._blocks.known
                if probe == provider_health.EVERYTHING
                else frozenset({Kind(probe)})
            )
            claimed += await self._claim(1, frozenset(Kind) - kinds, SearchStart(self._boot_s))
        return claimed

    def _begin(self, claimed: list[Claimed], claimed_boot_s: float) -> None:
        listed = [o for o in claimed if o.resolving and o.kind is Kind.CREATE]
        if listed:
            self._spawn(self._lookups.find(listed))
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
            # The operation is not in `_owned` any more, so the next look releases it.
            log.error("attempt_failed", error=type(error).__name__, detail=str(error)[:300])
            self._claims.look_for_forgotten()
            self._claiming.wake()
        elif self._slots_were_short:
            self._claiming.wake()

    async def _attempt(self, claimed: Claimed, claimed_boot_s: float) -> None:
        def refuse_late() -> None:
            if self._boot_s() - claimed_boot_s > SEND_WITHIN_S:
                raise TooLate

        if (operation := await self._fill_intent_id(claimed)) is None:
            return
        try:
            result = await self._sender.read_first(operation, refuse_late) if is_guarded(operation) else None
            if result is None:
                outcome = await self._sender.call(operation, refuse_late)
                classify = conclude_lookup if operation.resolving else conclude
                result = retry_stray(classify(operation, outcome, jitter=self._random.random))
        except TooLate:
            # Discard it first: if the database fails now, the next sweep releases the operation.
            self._owned.discard(operation.id)
            await operations.release_unsent(self._pool, [operation])
            self._claiming.wake()
            return
        except BaseException:
            self._owned.discard(operation.id)
            raise
        self._queue_result(result)

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

    def _abandon(self, claimed: Iterable[Claimed]) -> None:
        """Leave operations whose call was interrupted to the look for forgotten ones."""
        self._owned.difference_update(o.id for o in claimed)

    def _queue_result(self, result: CallResult) -> None:
        log_result(result)
        self._unrecorded.append(result)
        self._recording.wake()

    async def _heartbeat_once(self) -> int:
        left_out = self._blocks.known | self._context.paused_kinds(self._provider.name)
        pulse = await self._claims.heartbeat(left_out=left_out, due_after=self._search.after)
        if pulse is not None:
            self._blocks.saw(pulse.blocked)
            released = pulse.some_died and await self._claims.release_orphaned()
            if released or pulse.some_due or pulse.blocked or left_out != self._search.left_out:
                self._claiming.wake()
        return 0
