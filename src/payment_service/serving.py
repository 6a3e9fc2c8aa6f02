"""The process `payment-service serve`: what must hold before it starts, its signals, and its exit codes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog
import uvloop

from payment_service import exit_codes
from payment_service.db import installation as installations
from payment_service.db import recovery
from payment_service.db.pool import TRANSIENT_ERRORS, open_pool, open_read_pool
from payment_service.db.schema_check import schema_problem
from payment_service.db.server import UnusableDatabase
from payment_service.http.server import AddressInUse
from payment_service.kafka.topics import missing_topics
from payment_service.provider.plugins import require_providers
from payment_service.runtime import NotPrepared, Service
from payment_service.telemetry import metrics, traces
from payment_service.telemetry.errors import describe_error, explain_database_error
from payment_service.worker_processes import run_workers

if TYPE_CHECKING:
    from collections.abc import Collection

    from payment_service.config.config import Config
    from payment_service.db.pool import Pool
    from payment_service.provider.account_claims import Installation

log = structlog.get_logger(__name__)

# The image sets it to the commit that it was built from.
REVISION_VARIABLE: Final = "PAYMENT_SERVICE_REVISION"
TOPICS_TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 2.0
# A thread that computes gives the interpreter to one that waits after this time. The default is 5 ms, which each step of a
# webhook would wait while the consumer's thread searches a large record.
SWITCH_INTERVAL_S: Final = 0.0005
GC_THRESHOLDS: Final = (50_000, 20, 20)  # new objects before a collection: at most a few megabytes of cycles


def serve(config: Config, roles: Collection[str], workers: int = 1) -> int:
    """Run until SIGTERM or SIGINT and return the exit code. Raises ConfigError for an unavailable provider."""
    require_providers(config)
    if workers == 1:
        return _run(config, roles)
    gc.freeze()  # the workers share what is loaded
    return run_workers(workers, lambda n, parent_pipe: _run(config.of_worker(n), roles, parent_pipe))


def _run(config: Config, roles: Collection[str], parent_pipe: int | None = None) -> int:
    """Run one process. `parent_pipe`: stop when it ends, and share the port with other workers."""
    try:
        uvloop.run(_serve(config, frozenset(roles), parent_pipe))
    except (NotPrepared, UnusableDatabase) as problem:
        sys.stderr.write(f"{problem}\n")
        return exit_codes.NOT_PREPARED
    except traces.TracesUnavailable as problem:
        sys.stderr.write(f"{problem}\n")
        return exit_codes.USAGE
    except AddressInUse as error:
        sys.stderr.write(f"{error}\n")
        return exit_codes.FAILED
    except asyncpg.InsufficientPrivilegeError as error:
        sys.stderr.write(f"{explain_database_error(error)}\n")
        return exit_codes.NOT_PREPARED
    except TRANSIENT_ERRORS as error:
        sys.stderr.write(f"{explain_database_error(error)}\n")
        return exit_codes.FAILED
    return exit_codes.DONE


async def _serve(config: Config, roles: frozenset[str], parent_pipe: int | None) -> None:
    stopping = asyncio.Event()
    _handle_signals(stopping)
    if parent_pipe is not None:
        asyncio.get_running_loop().add_reader(parent_pipe, stopping.set)
    async with AsyncExitStack() as stack:
        traces.configure(version("payment-service"), config.deployment)
        stack.push_async_callback(asyncio.to_thread, traces.close)
        pool = await open_pool(config)
        stack.push_async_callback(_close_pool, pool)
        reads = await open_read_pool(config, beside=pool)
        stack.push_async_callback(_close_pool, reads)
        await _require_prepared(config, pool, roles)
        metrics.initialize_counters()
        _show_build()
        pool.show_use("work")
        reads.show_use("reads")
        service = Service(
            config, pool, reads, roles, await _claim_database(config, pool), shares_port=parent_pipe is not None
        )
        await service.start(stack)
        _tune_garbage_collection()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        log.info("started", roles=sorted(roles), service_port=config.service_port, metrics_port=config.metrics_port)
        await stopping.wait()
        service.begin_to_stop()
    log.info("stopped")


def _show_build() -> None:
    python = ".".join(map(str, sys.version_info[:3]))
    metrics.BUILD_INFO.labels(version("payment-service"), os.environ.get(REVISION_VARIABLE, ""), python).set(1)


def _tune_garbage_collection() -> None:
    """Exclude startup objects, which have no dead cycles, from garbage collection; collect less often than every 700 new objects.

    Measured: this saves a tenth of the CPU of an order. Reference counts free what a request creates; cycles are few.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _handle_signals(stopping: asyncio.Event) -> None:
    """Drain on the first signal and exit at once on the second."""

    def stop(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


async def _close_pool(pool: Pool) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()


async def _require_prepared(config: Config, pool: Pool, roles: frozenset[str]) -> None:
    if problem := await schema_problem(pool) or await recovery.problem(pool):
        raise NotPrepared(problem)
    if not roles & {"intake", "relay"}:
        return
    try:
        missing = await asyncio.to_thread(missing_topics, config, TOPICS_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 - webhooks are taken, and orders wait, while the broker is down
        log.warning("broker_not_reached", error=describe_error(error))
        return
    if missing:
        message = f"Topics are missing: {', '.join(missing)}. Run: payment-service topics create"
        raise NotPrepared(message)


async def _claim_database(config: Config, pool: Pool) -> Installation:
    try:
        return await installations.claim(pool, config.deployment)
    except installations.AnotherDeployment as error:
        raise NotPrepared(str(error)) from None
