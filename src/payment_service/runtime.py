"""The composition root: open what the roles need, connect the parts, start them in order, and stop them in reverse
order.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from payment_service.contracts.records import ORDERS_CANCELLED, ORDERS_CREATED
from payment_service.db import cursor_key, provider_health
from payment_service.db.clock_skew import ClockSkew
from payment_service.db.pool import TRANSIENT_ERRORS
from payment_service.db.schema_check import schema_problem
from payment_service.db.waiting_calls import WaitingCalls
from payment_service.db.writable import WriteCheck
from payment_service.flows.calls.dispatch import Dispatcher
from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.intake.orders import OrderIntake
from payment_service.flows.intake.quarantine import quarantine_webhook_body
from payment_service.flows.operators.replay_quarantine import Replays
from payment_service.flows.reconciliation.schedule import start_reconciliation
from payment_service.flows.state.context import Context
from payment_service.flows.timers.account_claim import AccountClaim
from payment_service.flows.timers.audit_seals import AuditSeals
from payment_service.flows.timers.cancelled_orders import CancelledOrders
from payment_service.flows.timers.due_work import DueWork
from payment_service.flows.timers.expiry import Expiry
from payment_service.flows.timers.poller import Poller
from payment_service.flows.timers.provider_timers import make_provider_timers
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.flows.webhooks.foreign import ForeignEvents
from payment_service.http.app import build_app, build_operations_app
from payment_service.http.auth import KeyUse, authenticator_for
from payment_service.http.health import Readiness
from payment_service.http.server import HttpServer
from payment_service.kafka.broker_status import BrokerStatus
from payment_service.kafka.consumer import OrderConsumer
from payment_service.kafka.producer import Producer
from payment_service.kafka.published_records import open_published_records
from payment_service.kafka.reader_marks import ReaderMarks
from payment_service.kafka.relay import Relay
from payment_service.provider.account_claims import AccountClaims
from payment_service.provider.plugins import ProviderContext, open_providers
from payment_service.provider.port import WebhookReceiver
from payment_service.sampling import sampling_loops
from payment_service.wakes import Wakes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.types import ASGIApp

    from payment_service.config.config import Config
    from payment_service.contracts.incoming import InboundRecord
    from payment_service.db.pool import Pool
    from payment_service.provider.account_claims import Installation

log = structlog.get_logger(__name__)

READY_TIMEOUT_S: Final = 2.0
# A start does not wait longer for the provider; new payments then wait for the claim instead.
CLAIM_TIMEOUT_S: Final = 3.0
# The roles that call a provider. The others need no network access to it.
CALLING_ROLES: Final = frozenset({"dispatch", "http", "pages"})
# Minimum time for a part to clean up if its turn comes after the grace period has ended.
MIN_GRACE_S: Final = 1.0


class NotPrepared(Exception):
    """The schema, the topics or the installation do not match; the message says what to do."""


class Service:
    """The connected parts of one process."""

    def __init__(
        self,
        config: Config,
        pool: Pool,
        reads: Pool,
        roles: frozenset[str],
        installation: Installation | None = None,
        *,
        shares_port: bool = False,
    ) -> None:
        self._config = config
        self._shares_port = shares_port
        self._clock = ClockSkew(pool)
        self._pool = pool
        self._reads = reads
        self._writes = WriteCheck(pool)
        self._roles = roles
        self._providers = open_providers(config, self._provider_context(installation))
        self._waiting_calls = WaitingCalls(pool, self._providers.by_name)
        self._claims = {
            name: AccountClaim(pool, provider, installation)
            for name, provider in self._providers.by_name.items()
            if installation is not None and roles & CALLING_ROLES and isinstance(provider, AccountClaims)
        }
        self._wakes = Wakes()
        self._context = self._flow_context()
        self._broker_status = BrokerStatus()
        make_producer = partial(Producer, broker_status=self._broker_status)
        self._relay = (
            Relay(config, pool, now=self._clock.now, make_producer=make_producer) if "relay" in roles else None
        )
        self._dispatchers = self._make_dispatchers() if "dispatch" in roles else []
        self._due = DueWork(self._context)
        self._foreign_events = ForeignEvents(
            self._context, rate_per_s=config.provider_rate_per_second, limit_s=config.provider_timeout_s
        )
        self._webhooks = Webhooks(self._context, self._foreign_events.suspect)
        self._intake = OrderIntake(
            self._context,
            order_max_age=config.order_max_age,
            manual_capture=config.capture_method == "manual",
            expires_after=config.payment_expires_after,
        )
        self._cancelled_orders = CancelledOrders(self._context, refund=config.orders_cancelled_refund)
        self._cancelled_intake = OrderCancellationIntake(self._context, wake_cancellations=self._wakes.cancellations)
        self._wakeups = self._wakes.connect(
            config, relay=self._relay, dispatchers=self._dispatchers, cancelled_orders=self._cancelled_orders
        )
        self._authenticator = authenticator_for(pool)
        self._public = build_app(
            config=config,
            context=self._context,
            reads=reads,
            receivers={name: one for name, one in self._providers.by_name.items() if isinstance(one, WebhookReceiver)},
            store_event=self._webhooks.take,
            quarantine=partial(quarantine_webhook_body, pool),
            readiness=self.readiness,
            authenticator=self._authenticator,
        )
        self._consumer: OrderConsumer | None = None
        self._stop_by_s = math.inf

    def begin_to_stop(self) -> None:
        """Start the grace period; every part gets what remains of it."""
        self._stop_by_s = time.monotonic() + self._config.shutdown_grace_s
        log.info("stopping", grace_s=self._config.shutdown_grace_s)

    async def start(self, stack: AsyncExitStack) -> None:
        """Start the parts from the last stage of the pipeline to the first; `stack` stops them in reverse order."""
        stack.push_async_callback(self._providers.close)
        # A process whose port is in use claims nothing and joins no group.
        operations, public = self._bind_ports(stack)
        pages = await self._bind_pages(stack)
        await self._clock.measure_once()
        await self._claim_names(stack)
        await self._serve_http(stack, operations)
        self._wakeups.start()
        stack.push_async_callback(self._wakeups.stop)
        if self._relay is not None:
            await self._relay.start()
            stack.push_async_callback(self._within_grace, self._relay.stop)
        for dispatcher in self._dispatchers:
            await dispatcher.start()
            stack.push_async_callback(self._within_grace, dispatcher.stop)
        if "dispatch" in self._roles:
            await self._start_timers(stack)
        if "reconcile" in self._roles:
            stack.push_async_callback(self._start_reconciliation())
        if public is not None:
            await self._start_api(stack, public)
        if pages is not None:
            await self._serve_http(stack, pages)
        if "intake" in self._roles:
            self._start_intake(stack)
        self._due.start()
        stack.push_async_callback(self._due.stop)
        for loop in sampling_loops(
            self._pool, self._clock, self._broker_status, self._claims.values(), self._waiting_calls, self._writes
        ):
            _run(stack, loop)

    async def _start_timers(self, stack: AsyncExitStack) -> None:
        seals = AuditSeals(self._pool)
        self._due.wakes("audit", seals.loop)
        _run(stack, seals.loop)
        expiry = Expiry(self._context)
        self._due.wakes("expiries", expiry.loop)
        _run(stack, expiry)
        for timer in make_provider_timers(self._context, self._webhooks, self._config):
            self._due.wakes("polls" if isinstance(timer, Poller) else "pages", timer.loop)
            await timer.start()
            stack.push_async_callback(self._within_grace, timer.stop)
        self._due.wakes("cancellations", self._cancelled_orders.loop)
        # Runs even if orders_cancelled is off now: cancellations stored while it was on still need handling.
        _run(stack, self._cancelled_orders)

    async def _start_api(self, stack: AsyncExitStack, server: HttpServer) -> None:
        self._due.wakes("events", self._webhooks.replaying)
        _run(stack, self._foreign_events)
        _run(stack, self._webhooks)
        _run(stack, KeyUse(self._pool, self._authenticator))
        await self._serve_http(stack, server)

    def _start_intake(self, stack: AsyncExitStack) -> None:
        topics = (ORDERS_CREATED, ORDERS_CANCELLED) if self._config.orders_cancelled else (ORDERS_CREATED,)
        running = asyncio.get_running_loop()
        self._consumer = OrderConsumer(
            self._config,
            self._accept,
            running,
            topics=topics,
            broker_status=self._broker_status,
            marks=ReaderMarks(self._pool, running),
        )
        self._consumer.start()
        stack.push_async_callback(self._within_grace, partial(asyncio.to_thread, self._consumer.stop))

    def _start_reconciliation(self) -> Callable[[], Awaitable[None]]:
        open_reader = partial(open_published_records, self._config)
        return start_reconciliation(self._context, self._config, open_reader=open_reader)

    async def _claim_names(self, stack: AsyncExitStack) -> None:
        """Claim the deployment name. Raises NotPrepared if it is not ours. An account that is down is asked again later."""
        for claim in self._claims.values():
            with suppress(TimeoutError):
                async with asyncio.timeout(CLAIM_TIMEOUT_S):
                    if refused := await claim.claim():
                        raise NotPrepared(refused)
            claim.start()
            stack.push_async_callback(claim.stop)

    async def _accept(self, batch: Sequence[InboundRecord]) -> None:
        """Make a batch durable. Orders come first, because the same batch may cancel them."""
        if created := [inbound_record for inbound_record in batch if inbound_record.topic != ORDERS_CANCELLED]:
            await self._intake.accept(created)
        if cancelled := [inbound_record for inbound_record in batch if inbound_record.topic == ORDERS_CANCELLED]:
            await self._cancelled_intake.accept(cancelled)

    async def _within_grace(self, stop: Callable[[float], Awaitable[None]]) -> None:
        # Without a signal there is no deadline: a start failed, and the started parts stop as usual.
        await stop(max(MIN_GRACE_S, min(self._config.shutdown_grace_s, self._stop_by_s - time.monotonic())))

    async def readiness(self) -> Readiness:
        """Return ready if the schema matches and the database takes writes; broker and provider are reported only."""
        checks = {
            "broker": self._broker_state(),
            "provider": self._waiting_calls.problem() or "ok",
            "clock": self._clock.problem() or "ok",
        }
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                if not_writable := await self._writes.problem():
                    # The fix may name a session of the server, and /ready faces the internet.
                    found = f"{not_writable.found}: run `payment-service doctor`"
                    return Readiness(ready=False, checks={**checks, "database": found})
                problem = await schema_problem(self._pool)
                blocked = await provider_health.all_blocked(self._pool)
        except TRANSIENT_ERRORS:  # the text stays out of /ready, which faces the internet
            return Readiness(ready=False, checks={**checks, "database": "does not answer"})
        if problem_of_claim := next((found for claim in self._claims.values() if (found := claim.problem())), ""):
            checks["installation"] = problem_of_claim
        if blocked:
            checks["provider"] = "blocked: " + ", ".join(blocked)
        return Readiness(ready=problem is None, checks={**checks, "database": "ok", "schema": problem or "ok"})

    def _provider_context(self, installation: Installation | None) -> ProviderContext:
        return ProviderContext(
            installation=str(installation.id) if installation else "",
            deployment=self._config.deployment,
            now_s=lambda: self._clock.now().timestamp(),
            timeout_s=self._config.provider_timeout_s,
            concurrency=self._config.provider_concurrency,
            pool=self._pool,
        )

    def _flow_context(self) -> Context:
        return Context(
            pool=self._pool,
            providers=self._providers,
            deployment=self._config.deployment,
            now=self._clock.now,
            may_decide=self._may_decide,
            paused_kinds=self._paused_kinds,
            reserve_creates=self._wakes.reserve_creates,
            wake_dispatcher=self._wakes.dispatcher,
            wake_relay=self._wakes.relay,
        )

    def _may_decide(self) -> bool:
        return self._clock.agrees() and not any(claim.lost for claim in self._claims.values())

    def _paused_kinds(self, provider: str) -> frozenset[str]:
        if not self._clock.agrees():
            return frozenset({provider_health.EVERYTHING})
        return self._claims[provider].paused_kinds() if provider in self._claims else frozenset()

    def _make_dispatchers(self) -> list[Dispatcher]:
        """Create one dispatcher per provider, so that a hanging provider takes no call slots from another."""
        return [
            Dispatcher(self._context, name=name, config=self._config, random=SystemRandom())
            for name in self._providers.by_name
        ]

    def _broker_state(self) -> str:
        if self._consumer is not None and not self._consumer.alive():
            return (
                self._broker_status.problem() or "orders are waiting but the consumer reads none: restart the process"
            )
        return self._broker_status.problem() or "ok"

    def _bind_ports(self, stack: AsyncExitStack) -> tuple[HttpServer, HttpServer | None]:
        """Bind the port of the operations server, and that of the API if this process has the role."""
        config = self._config
        operations_app = build_operations_app(readiness=self.readiness, openapi_of=self._public)
        operations = self._bind(stack, operations_app, config.metrics_address, config.metrics_port)
        if "http" not in self._roles:
            return operations, None
        api = self._bind(stack, self._public, config.service_host, config.service_port, shared=self._shares_port)
        return operations, api

    async def _bind_pages(self, stack: AsyncExitStack) -> HttpServer | None:
        """Bind the port of the operators' pages, if they are on and this process has the role."""
        if "pages" not in self._roles or self._config.admin_port is None:
            return None
        # Imported if they are on: the templates take a few megabytes.
        from payment_service.doctor.checks import examine  # noqa: PLC0415
        from payment_service.pages.app import build_pages  # noqa: PLC0415
        from payment_service.pages.site import Parts  # noqa: PLC0415

        parts = Parts(
            config=self._config,
            context=self._context,
            reads=self._reads,
            readiness=self.readiness,
            examine=partial(examine, self._config),
            replays=self._replays,
            key=await cursor_key.read_derived(self._pool, "pages"),
        )
        host, port = self._config.admin_host, self._config.admin_port
        return self._bind(stack, build_pages(parts), host, port, shared=self._shares_port)

    def _replays(self, any_age: bool) -> Replays:  # noqa: FBT001 - called by position
        """Build the replay of quarantined items with the settings of this process."""
        intake = OrderIntake(
            self._context,
            order_max_age=timedelta.max if any_age else self._config.order_max_age,
            manual_capture=self._config.capture_method == "manual",
            expires_after=self._config.payment_expires_after,
        )
        return Replays(
            self._context,
            intake=intake,
            cancelled=self._cancelled_intake,
            webhooks=self._webhooks,
            amount_minor_max=self._config.max_amount_minor,
            card_like_ids=self._config.allow_card_like_ids,
        )

    def _bind(self, stack: AsyncExitStack, app: ASGIApp, host: str, port: int, *, shared: bool = False) -> HttpServer:
        server = HttpServer(app, host, port, shared=shared)
        server.bind()
        stack.callback(server.unbind)
        return server

    async def _serve_http(self, stack: AsyncExitStack, server: HttpServer) -> None:
        await server.start()
        stack.push_async_callback(self._within_grace, server.stop)


class _Stoppable(Protocol):
    def start(self) -> None: ...

    async def stop(self) -> None: ...


def _run(stack: AsyncExitStack, part: _Stoppable) -> None:
    """Start a part; `stack` stops it."""
    part.start()
    stack.push_async_callback(part.stop)
