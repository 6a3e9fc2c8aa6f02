"""Shared parts of commands: a database connection and idempotency keys."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

import typer

from payment_service import exit_codes
from payment_service.commands.operator import actor
from payment_service.commands.settings import CommandSettings
from payment_service.config.config import Config, ConfigError, DatabaseSettings
from payment_service.db import installation as installations
from payment_service.db.clock_skew import ClockSkew
from payment_service.db.pool import open_pool
from payment_service.db.schema_check import SchemaError, schema_problem
from payment_service.domain.guard import clean
from payment_service.flows.requests.idempotency import ChangeRequest
from payment_service.flows.state.context import Context
from payment_service.provider.plugins import ProviderContext, open_providers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from uuid import UUID

    from payment_service.db.pool import Pool
    from payment_service.provider.providers import Providers

T = TypeVar("T")

# A command runs one query at a time; the second connection is for reads beside an open transaction.
POOL_SIZE: Final = 2
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def run(work: Callable[[Pool], Awaitable[T]], settings: DatabaseSettings | None = None) -> T:
    """Run `work` on the database of DB_DSN. Raises ConfigError, SchemaError, and database errors."""
    settings = settings or DatabaseSettings.from_environment()

    async def within() -> T:
        async with open_database(settings) as pool:
            return await work(pool)

    return asyncio.run(within())


def run_change(work: Callable[[Context], Awaitable[T]]) -> T:
    """Run `work` with a context for changes. It queues operations, which the service sends; it may read. Raises as
    `run`, and Refusal.
    """
    settings = CommandSettings.from_environment()

    async def within(pool: Pool) -> T:
        await require_deployment(pool, settings.deployment)
        clock = await measured_clock(pool)
        async with open_for_requests(settings, pool, clock) as providers:
            return await work(Context(pool=pool, providers=providers, deployment=settings.deployment, now=clock.now))

    return run(within, settings)


async def require_deployment(pool: Pool, deployment: str) -> None:
    """Raise ConfigError if this database belongs to another deployment."""
    try:
        await installations.require_name(pool, deployment)
    except installations.AnotherDeployment as error:
        raise ConfigError(str(error)) from None


async def measured_clock(pool: Pool) -> ClockSkew:
    """Return the database's clock, so that a command on a host with a wrong clock writes correct times."""
    clock = ClockSkew(pool)
    await clock.measure_once()
    return clock


@asynccontextmanager
async def open_for_requests(settings: Config, pool: Pool, clock: ClockSkew) -> AsyncIterator[Providers]:
    """Open the providers to build requests. The only calls are reads that check an operator's claim
    (`flows/operators/provider_lookup.py`).
    """
    found = await installations.read(pool)
    context = ProviderContext(
        installation=str(found.id) if found else "",
        deployment=settings.deployment,
        now_s=lambda: clock.now().timestamp(),
        timeout_s=settings.provider_timeout_s,
        concurrency=settings.provider_concurrency,
        pool=pool,
    )
    providers = open_providers(settings, context)
    try:
        yield providers
    finally:
        await providers.close()


@asynccontextmanager
async def open_database(settings: DatabaseSettings) -> AsyncIterator[Pool]:
    """Open a small pool after checking the schema. Raises SchemaError."""
    few = settings.model_copy(update={"db_pool_size": POOL_SIZE})
    pool = await open_pool(few, application_name="payment-service-command")
    try:
        if problem := await schema_problem(pool):
            raise SchemaError(problem)
        yield pool
    finally:
        pool.terminate()


def change_request(action: str, asked: Mapping[str, Any], *, key: str, payment_id: UUID | None = None) -> ChangeRequest:
    """Build the request for a change with an idempotency key."""
    return ChangeRequest(actor=actor(), key=key, action=action, payment_id=payment_id, parameters=asked)


def read_key(key: str) -> str:
    """Check a given key, or generate one. Raises ConfigError."""
    if key and (not _KEY.fullmatch(key) or clean(key) != key):
        raise ConfigError("--key takes 1 to 255 printable ASCII characters without spaces or card numbers.")
    return key or f"cli-{uuid4()}"


def read_time(text: str, now: datetime, *, option: str = "--since") -> datetime:
    """Parse the time of an option: `2026-12-25T14:00Z`, or an age: `90m`, `12h`, `7d`. Raises ConfigError."""
    try:
        ago = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
        moment = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None or moment > now:
        raise ConfigError(
            f"{option} takes a past time with its zone, such as 2026-12-25T14:00Z, or an age, such as 90m, 12h, 7d."
        )
    return moment


def read_duration(text: str, *, option: str) -> timedelta:
    """Parse the duration of an option: `90m`, `12h`, `7d`. Raises ConfigError."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if match is None:
        raise ConfigError(f"{option} takes a duration, such as 90m, 12h, 7d.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def derived_key(*subject: object) -> str:
    """Derive the key that the same request always gets, so that repeated commands change nothing twice."""
    return "cli-" + sha256("\n".join(map(str, subject)).encode()).hexdigest()[:16]


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation. Raises ConfigError without a terminal, and typer.Exit for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("There is no terminal for the confirmation: use --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        sys.stderr.write("payment-service: Nothing was changed.\n")
        raise typer.Exit(exit_codes.FAILED)
