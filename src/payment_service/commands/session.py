"""What a command works with: a database whose schema fits, who asks, and under which key."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import socket
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

import typer

from payment_service import exit_codes
from payment_service.commands.settings import CommandSettings
from payment_service.config.config import ConfigError, DatabaseSettings
from payment_service.db import payment_reads
from payment_service.db.audit import Actor
from payment_service.db.pool import open_pool
from payment_service.db.schema import SchemaError, schema_problem
from payment_service.domain.ids import payment_id as name_of_payment
from payment_service.flows.requests.idempotency import ChangeRequest
from payment_service.flows.state.context import Context
from payment_service.provider.plugins import ProviderContext, open_providers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from uuid import UUID

    from payment_service.db.pool import Pool
    from payment_service.provider.providers import Providers

T = TypeVar("T")

# Whose idempotency keys these are; the API gives no key to a client of this name.
CLIENT: Final = "cli"
# A command asks one thing after another; the second is for what must be seen beside an open transaction.
POOL_SIZE: Final = 2
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def run(work: Callable[[Pool], Awaitable[T]], settings: DatabaseSettings | None = None) -> T:
    """Do `work` on the database of DB_DSN. Raises ConfigError, SchemaError, and what the database says."""
    settings = settings or DatabaseSettings.from_environment()

    async def within() -> T:
        async with open_database(settings) as pool:
            return await work(pool)

    return asyncio.run(within())


def run_change(work: Callable[[Context], Awaitable[T]]) -> T:
    """Do `work` with all that a change needs. What it words, a running service sends; it may read. Raises as `run`, and Refusal."""
    settings = CommandSettings.from_environment()

    async def within(pool: Pool) -> T:
        await require_deployment(pool, settings.deployment)
        async with _wording(settings, pool) as providers:
            return await work(
                Context(pool=pool, providers=providers, deployment=settings.deployment, now=lambda: datetime.now(UTC))
            )

    return run(within, settings)


async def require_deployment(pool: Pool, deployment: str) -> None:
    """Raise ConfigError where the payments of this database are named after another deployment.

    Under a wrong name an order that is replayed would get a second payment.
    """
    row = await payment_reads.newest_names(pool)
    if row and row["id"] != name_of_payment(deployment, row["order_id"], row["attempt"]):
        raise ConfigError(
            f"DEPLOYMENT is {deployment!r}, and this database is another's: set it as the service has it."
        )


@asynccontextmanager
async def _wording(settings: CommandSettings, pool: Pool) -> AsyncIterator[Providers]:
    """Open the providers for their words; nothing is asked of them but to read what a person says of them (`flows/operators/provider_lookup.py`)."""
    context = ProviderContext(
        deployment=settings.deployment,
        now_s=time.time,
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
    """Open a small pool on a schema that fits. Raises SchemaError."""
    few = settings.model_copy(update={"db_pool_size": POOL_SIZE})
    pool = await open_pool(few, application_name="payment-service-command")
    try:
        if problem := await schema_problem(pool):
            raise SchemaError(problem)
        yield pool
    finally:
        pool.terminate()


def actor() -> Actor:
    """Say who sits here, for the audit: the account on this machine, and who became root by sudo."""
    uid = os.getuid()
    try:
        person = pwd.getpwuid(uid).pw_name
    except KeyError:
        person = f"uid-{uid}"
    if uid == 0:
        person = os.environ.get("SUDO_USER") or person
    return Actor(client=CLIENT, person=person[:64], address=socket.gethostname()[:255])


def change_request(action: str, asked: Mapping[str, Any], *, key: str, payment_id: UUID | None = None) -> ChangeRequest:
    """Word a request for a change under a key."""
    return ChangeRequest(actor=actor(), key=key, action=action, payment_id=payment_id, asked=asked)


def read_key(key: str) -> str:
    """Take a key that somebody typed, or make one. Raises ConfigError."""
    if key and not _KEY.fullmatch(key):
        raise ConfigError("--key takes 1 to 255 printable ASCII characters without spaces.")
    return key or f"cli-{uuid4()}"


def read_time(text: str, now: datetime) -> datetime:
    """Read `2026-12-25T14:00Z`, or how long ago: `90m`, `12h`, `7d`. Raises ConfigError."""
    try:
        ago = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
        moment = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None or moment > now:
        raise ConfigError(
            "--since takes a time in the past with its zone, such as 2026-12-25T14:00Z, or how long ago, such as 90m, 12h, 7d."
        )
    return moment


def derived_key(*subject: object) -> str:
    """Make the key that the same wish always has, so that it is granted once however often the command is run."""
    return "cli-" + sha256("\n".join(map(str, subject)).encode()).hexdigest()[:16]


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person before money moves. Raises ConfigError where nobody can be asked, and typer.Exit at a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("There is no terminal to ask on: say --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        sys.stderr.write("payment-service: Nothing was changed.\n")
        raise typer.Exit(exit_codes.FAILED)
