"""`payment-service doctor`: is everything there that the service depends on? A line each, with the cure.

Every check has a time limit, none changes anything, and none is skipped because another failed, unless it can't be made.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import asyncpg
from confluent_kafka import KafkaException
from rich.console import Console

from payment_service import exit_codes
from payment_service.config.config import Config, ConfigError
from payment_service.contracts.records import topics_needed
from payment_service.db.gauges import partition_days_left
from payment_service.db.maintain import AHEAD
from payment_service.db.pool import CONNECT_TIMEOUT_S, Connection, connect_arguments
from payment_service.db.queries import load
from payment_service.db.rights import Roles, compare_role
from payment_service.db.schema import schema_problem
from payment_service.kafka.topics import topic_partitions
from payment_service.provider.plugins import require_providers
from payment_service.provider.stripe.adapter import API_VERSION
from payment_service.provider.stripe.webhooks import APPLIED_TYPES, TOLERANCE_S
from payment_service.telemetry.logs import mask

# A person waits for the answer; what does not answer in this time is as good as down.
CHECK_TIMEOUT_S: Final = 10
# A fifth of the tolerance of webhook signatures: a clock that is off by more is on its way to refuse them.
CLOCK_TOLERANCE_S: Final = TOLERANCE_S / 5
# `maintain` keeps 14 days; a week less means that it does not run.
DAYS_LEFT_MIN: Final = AHEAD.days / 2

WEBHOOK_PATH: Final = "/webhooks/stripe"
# The answer to our own call tells that the intent exists; the event isn't needed.
TYPES_NEEDED: Final = APPLIED_TYPES - {"payment_intent.created"}
# A role that may do too much may do it to every table and partition; the first few say what kind of rights these are.
RIGHTS_SHOWN: Final = 5

_sql = load(__package__, "doctor.sql")


class Verdict(StrEnum):
    """What came of a check. Only `FAILED` makes the exit code 1."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what was found, and what to do about it."""

    verdict: Verdict
    subject: str
    found: str
    cure: str = ""


Findings: TypeAlias = AsyncIterator[Finding]

_STYLES: Final = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "bold red"}


def examine(config: Config) -> int:
    """Make all checks, print them, and give the exit code: 1 if any failed."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    # It would tell of each attempt; the finding tells it once.
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    findings = asyncio.run(_examine(config))
    for finding in findings:
        _print(console, finding)
    failed = any(finding.verdict is Verdict.FAILED for finding in findings)
    return exit_codes.FAILED if failed else exit_codes.DONE


async def _examine(config: Config) -> list[Finding]:
    checks = {"database": _check_database, "broker": _check_broker, "providers": _check_providers}
    if "stripe" in config.providers:
        checks["stripe"] = _check_stripe
    parts = await asyncio.gather(*(_within_limit(subject, check(config)) for subject, check in checks.items()))
    return [finding for part in parts for finding in part]


async def _within_limit(subject: str, check: Findings) -> list[Finding]:
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            findings += [finding async for finding in check]
    except TimeoutError:
        found = f"gave no answer within {CHECK_TIMEOUT_S} s"
        findings.append(Finding(Verdict.FAILED, subject, found, "check its address and the network"))
    return findings


def _print(console: Console, finding: Finding) -> None:
    cure = f" → {finding.cure}" if finding.cure else ""
    line = mask(" ".join(f"{finding.found}{cure}".split()))
    console.print(f"{finding.verdict:<8}", style=_STYLES[finding.verdict], end="")
    console.print(f"{finding.subject:<12}{line}", markup=False)


async def _check_database(config: Config) -> Findings:
    arguments = connect_arguments(config.db_dsn.get_secret_value())
    try:
        connection: Connection = await asyncpg.connect(**arguments, timeout=CONNECT_TIMEOUT_S)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        yield Finding(
            Verdict.FAILED,
            "database",
            f"can't be reached: {error or type(error).__name__}",
            "check DB_DSN and that the server runs",
        )
        return
    try:
        version = await connection.fetchval("SHOW server_version")
        yield Finding(Verdict.OK, "database", f"PostgreSQL {version} answers")
        yield await _check_database_clock(connection)
        async for finding in _check_role(connection, Roles(config.db_role_prefix)):
            yield finding
        async for finding in _check_schema(config, connection):
            yield finding
    except asyncpg.InsufficientPrivilegeError:
        return  # told by the check of the role
    finally:
        connection.terminate()


async def _check_schema(config: Config, connection: Connection) -> Findings:
    if problem := await schema_problem(connection):
        found, _, cure = problem.partition(": ")
        yield Finding(Verdict.FAILED, "schema", found, cure)
        return
    yield Finding(Verdict.OK, "schema", "fits this version")
    days = await partition_days_left(connection)
    for table, left in days.items():
        if left < DAYS_LEFT_MIN:
            found = f"{table} has partitions for {left:.0f} more days"
            yield Finding(
                Verdict.FAILED, "partitions", found, "run `payment-service maintain` daily, as the owner of the tables"
            )
        else:
            yield Finding(Verdict.OK, "partitions", f"{table} has partitions for {left:.0f} more days")
    yield await _check_parked(connection)
    yield await _check_left_behind(config, connection)
    if "stripe" in config.providers and not config.stripe_publishable_key:
        yield await _check_checkout(connection)


async def _check_parked(connection: Connection) -> Finding:
    row: Any = await connection.fetchrow(_sql.parked)
    found = f"{row['calls_and_events']} calls and events, {row['transfers']} transfers without a reference"
    if any(row.values()):
        return Finding(Verdict.WARNING, "parked", f"for a person wait {found}", "payment-service parked list")
    return Finding(Verdict.OK, "parked", "nothing waits for a person")


async def _check_role(connection: Connection, roles: Roles) -> Findings:
    """What the role lacks is a failure; what it may do beyond its need, which a thief of its password could do too, a warning."""
    if (role := await compare_role(connection)) is None:
        return
    if role.missing:
        cure = f"as the owner: payment-service migrate, which grants it to {roles.service}; serve as that role"
        yield Finding(Verdict.FAILED, "role", f"{role.name} lacks {_few(role.missing)}", cure)
    beyond = [
        *(["all that a superuser may"] if role.superuser else []),
        *(["everything with the tables, which it owns"] if role.owner and not role.superuser else []),
        *(["CREATE in the schema"] if role.may_create and not role.owner else []),
        *([] if role.owner else role.excess),
    ]
    if beyond:
        cure = f"serve as {roles.service}; `payment-service migrate --roles` has its SQL"
        yield Finding(Verdict.WARNING, "role", f"{role.name} may do more than it needs: {_few(beyond)}", cure)
    if not role.missing and not beyond:
        yield Finding(Verdict.OK, "role", f"{role.name} may do what it needs, and no more")


def _few(rights: list[str]) -> str:
    more = len(rights) - RIGHTS_SHOWN
    return ", ".join(rights[:RIGHTS_SHOWN]) + (f" and {more} more" if more > 0 else "")


async def _check_database_clock(connection: Connection) -> Finding:
    return _judge_clock("the database's clock", await connection.fetchval("SELECT clock_timestamp()"))


def _judge_clock(whose: str, theirs: datetime) -> Finding:
    off_s = (datetime.now(UTC) - theirs).total_seconds()
    if abs(off_s) > CLOCK_TOLERANCE_S:
        found = f"this machine's clock is {abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} {whose}"
        return Finding(
            Verdict.FAILED, "clock", found, f"synchronize it (NTP): webhooks are refused from {TOLERANCE_S} s on"
        )
    return Finding(Verdict.OK, "clock", f"agrees with {whose}")


async def _check_broker(config: Config) -> Findings:
    try:
        existing = await asyncio.to_thread(topic_partitions, config, CHECK_TIMEOUT_S / 2)
    except KafkaException as error:
        yield Finding(
            Verdict.FAILED,
            "broker",
            f"can't be reached: {error.args[0].str()}",
            "check KAFKA_BROKERS and that the broker runs",
        )
        return
    yield Finding(Verdict.OK, "broker", "answers")
    needed = topics_needed(orders_cancelled=config.orders_cancelled)
    missing = [name for name in needed if name not in existing]
    if missing:
        rules = "; if it is there, an ACL must let this user READ or WRITE it" if config.kafka_config else ""
        cure = f"run `payment-service topics create`{rules}"
        yield Finding(Verdict.FAILED, "topics", f"missing: {', '.join(missing)}", cure)
    narrow = [name for name in needed if 0 < existing.get(name, 0) < config.kafka_topic_partitions]
    if narrow:
        found = f"fewer than {config.kafka_topic_partitions} partitions: " + ", ".join(
            f"{name} {existing[name]}" for name in narrow
        )
        yield Finding(
            Verdict.WARNING,
            "topics",
            found,
            "plan it: more partitions move keys to others, and with them the order of records",
        )
    if not missing and not narrow:
        yield Finding(Verdict.OK, "topics", f"all {len(needed)} exist")


async def _check_providers(config: Config) -> Findings:
    try:
        require_providers(config)
    except ConfigError as error:
        yield Finding(
            Verdict.FAILED, "providers", str(error).rstrip("."), "install it, set what it needs, or correct PROVIDERS"
        )
        return
    yield Finding(Verdict.OK, "providers", f"{', '.join(config.providers)}: installed, and their settings can be read")


async def _check_left_behind(config: Config, connection: Connection) -> Finding:
    rows = await connection.fetch(_sql.left_behind, list(config.providers))
    if not rows:
        return Finding(Verdict.OK, "calls", "none waits for a provider that does not run")
    found = ", ".join(f"{row['calls']} for {row['provider']}" for row in rows)
    return Finding(Verdict.FAILED, "calls", f"wait for a provider that does not run: {found}", "add it to PROVIDERS")


async def _check_checkout(connection: Connection) -> Finding:
    """Whoever has a key for the checkout makes a page, which needs the publishable key, unless it has that from elsewhere."""
    clients = ", ".join(row["client"] for row in await connection.fetch(_sql.checkout_clients))
    if not clients:
        return Finding(Verdict.OK, "checkout", "is used by nobody: no key has its scope")
    cure = "set it (Dashboard, Developers, API keys), or see that the page has it from elsewhere"
    found = f"STRIPE_PUBLISHABLE_KEY is not set, and {clients} may ask for checkouts, which tell none then"
    return Finding(Verdict.WARNING, "checkout", found, cure)


async def _check_stripe(config: Config) -> Findings:
    try:
        async with aiohttp.ClientSession(
            headers=_headers(config), timeout=aiohttp.ClientTimeout(total=CHECK_TIMEOUT_S / 2)
        ) as session:
            status, answer, date = await _get(
                session, f"{config.stripe_api_base.rstrip('/')}/v1/payment_intents?limit=1"
            )
            finding = _judge_key(config, status, answer)
            yield finding
            if date is not None:
                yield _judge_clock("Stripe's clock", date)
            if finding.verdict is Verdict.OK:
                status, answer, _ = await _get(
                    session, f"{config.stripe_api_base.rstrip('/')}/v1/webhook_endpoints?limit=100"
                )
                yield _judge_endpoints(status, answer)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        yield Finding(
            Verdict.FAILED,
            "stripe",
            f"can't be reached: {error or type(error).__name__}",
            "check STRIPE_API_BASE and the network",
        )


def _headers(config: Config) -> dict[str, str]:
    return {"Authorization": f"Bearer {config.stripe_secret_key.get_secret_value()}", "Stripe-Version": API_VERSION}


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, Any], datetime | None]:
    async with session.get(url) as response:
        date = response.headers.get("Date")
        answer = await response.json(content_type=None)
        return (
            response.status,
            answer if isinstance(answer, dict) else {},
            parsedate_to_datetime(date) if date else None,
        )


def _judge_key(config: Config, status: int, answer: dict[str, Any]) -> Finding:
    mode = "live" if "_live_" in config.stripe_secret_key.get_secret_value() else "test"
    match status:
        case HTTPStatus.OK:
            return Finding(Verdict.OK, "stripe key", f"is valid, mode: {mode}")
        case HTTPStatus.UNAUTHORIZED:
            return Finding(
                Verdict.FAILED,
                "stripe key",
                "is not accepted by Stripe",
                "put a valid one into STRIPE_SECRET_KEY (Dashboard, Developers, API keys)",
            )
        case HTTPStatus.FORBIDDEN:
            return Finding(
                Verdict.FAILED,
                "stripe key",
                "may not read payment intents",
                "give the restricted key: PaymentIntents write, Charges and Refunds write",
            )
        case _:
            return Finding(
                Verdict.FAILED,
                "stripe key",
                f"could not be tried, Stripe answered {status}: {_message(answer)}",
                "try again, see status.stripe.com",
            )


def _judge_endpoints(status: int, answer: dict[str, Any]) -> Finding:
    create = f"add https://<your host>{WEBHOOK_PATH} for API version {API_VERSION} with the events {', '.join(sorted(TYPES_NEEDED))}"
    if status == HTTPStatus.FORBIDDEN:
        return Finding(
            Verdict.WARNING,
            "webhook",
            "the key may not read webhook endpoints",
            "look in the Dashboard, Developers, Webhooks",
        )
    if status != HTTPStatus.OK:
        return Finding(
            Verdict.FAILED, "webhook", f"could not be read, Stripe answered {status}: {_message(answer)}", "try again"
        )
    ours = [
        endpoint
        for endpoint in answer.get("data", [])
        if urlsplit(str(endpoint.get("url"))).path.rstrip("/") == WEBHOOK_PATH
    ]
    if not ours:
        return Finding(Verdict.FAILED, "webhook", f"no endpoint ends in {WEBHOOK_PATH}", create)
    faults = [_fault_of(endpoint) for endpoint in ours]
    if "" in faults:
        return Finding(Verdict.OK, "webhook", f"{ours[faults.index('')]['url']} gets every event that is needed")
    return Finding(Verdict.FAILED, "webhook", f"{ours[0]['url']} {faults[0]}", create)


def _fault_of(endpoint: dict[str, Any]) -> str:
    """Say what is wrong with an endpoint; nothing: empty. `*` is every event (docs.stripe.com/api/webhook_endpoints/object)."""
    enabled = set(endpoint.get("enabled_events", []))
    if endpoint.get("status") == "disabled":
        return "is disabled"
    if missing := sorted(TYPES_NEEDED - enabled) if "*" not in enabled else []:
        return f"does not get {', '.join(missing)}"
    if endpoint.get("api_version") != API_VERSION:
        return f"sends API version {endpoint.get('api_version') or 'of the account'}, not {API_VERSION}"
    return ""


def _message(answer: dict[str, Any]) -> str:
    error = answer.get("error")
    return str(error.get("message", "")) if isinstance(error, dict) else ""
