"""`payment-service doctor`: check every dependency of the service, one line each, with the fix.

Every check has a time limit and changes nothing. All checks run, unless one depends on another that failed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import asyncpg
from rich.console import Console

from payment_service import exit_codes
from payment_service.config.config import Config, ConfigError
from payment_service.contracts.findings import Finding, Findings, Verdict
from payment_service.db import attention, waiting_calls
from payment_service.db.clock import database_time
from payment_service.db.clock_skew import SKEW_MAX_S, describe
from payment_service.db.gauges import partition_days_left
from payment_service.db.maintain import AHEAD
from payment_service.db.pool import Connection, ServicePool, open_pool
from payment_service.db.queries import load
from payment_service.db.rights import Roles
from payment_service.db.schema_check import schema_problem
from payment_service.db.server import UnusableDatabase
from payment_service.db.writable import write_problem
from payment_service.doctor.authority import check_audit, check_keys, check_role
from payment_service.doctor.broker import check_broker
from payment_service.doctor.installation import check_installation
from payment_service.provider.plugins import attention_sources, require_providers
from payment_service.provider.stripe.api_versions import API_VERSION, compare_versions
from payment_service.provider.stripe.http_client import open_client
from payment_service.provider.stripe.signatures import TOLERANCE_S
from payment_service.provider.stripe.webhooks import APPLIED_TYPES
from payment_service.telemetry.errors import describe_error
from payment_service.telemetry.logs import mask

# An operator waits for the result; a dependency that takes longer counts as down.
CHECK_TIMEOUT_S: Final = 10
# `maintain` creates partitions 14 days ahead; a week less means that it does not run.
DAYS_LEFT_MIN: Final = AHEAD.days / 2

WEBHOOK_PATH: Final = "/webhooks/stripe"
# The response to our own call shows that the intent exists, so this event is not needed.
TYPES_NEEDED: Final = APPLIED_TYPES - {"payment_intent.created"}

# The service's own kinds of items that need attention. Providers name theirs.
_NOUNS: Final = {
    "operation": "operation",
    "event": "event",
    "record": "record",
    "quarantine": "quarantined item",
    "difference": "difference",
}

_sql = load(__package__, "doctor.sql")


_STYLES: Final = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "bold red"}


def run_checks(config: Config) -> int:
    """Run all checks, print them, and return the exit code: 1 if any failed."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    # librdkafka would log each attempt; the finding reports the error once.
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)
    findings = asyncio.run(examine(config))
    for finding in findings:
        _print(console, finding)
    failed = any(finding.verdict is Verdict.FAILED for finding in findings)
    return exit_codes.FAILED if failed else exit_codes.DONE


async def examine(config: Config) -> list[Finding]:
    """Run all checks at once. It ends within CHECK_TIMEOUT_S."""
    checks = {"database": _check_database, "broker": check_broker, "providers": _check_providers}
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
        found = f"no response within {CHECK_TIMEOUT_S} s"
        findings.append(Finding(Verdict.FAILED, subject, found, "check its address and the network"))
    return findings


def _print(console: Console, finding: Finding) -> None:
    fix = f" → {finding.fix}" if finding.fix else ""
    line = mask(" ".join(f"{finding.found}{fix}".split()))
    console.print(f"{finding.verdict:<8}", style=_STYLES[finding.verdict], end="")
    console.print(f"{finding.subject:<12}{line}", markup=False)


async def _check_database(config: Config) -> Findings:
    """Open the pool that `serve` opens, and check what it leads to."""
    try:
        pool = await open_pool(config, application_name="payment-service-doctor")
    except UnusableDatabase as problem:
        found, _, fix = str(problem).rstrip(".").partition(". ")
        yield Finding(Verdict.FAILED, "database", found, fix)
        return
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        found = f"cannot connect: {describe_error(error)}"
        yield Finding(Verdict.FAILED, "database", found, "check DB_DSN and that the server runs")
        return
    try:
        async for finding in _check_open_database(config, pool):
            yield finding
    except asyncpg.InsufficientPrivilegeError:
        return  # the check of the role reports it
    finally:
        pool.terminate()


async def _check_open_database(config: Config, pool: ServicePool) -> Findings:
    if problem := await write_problem(pool):
        yield Finding(Verdict.FAILED, "database", problem.found, problem.fix)
        return
    async with pool.acquire() as connection:
        version = await connection.fetchval("SHOW server_version")
        yield Finding(Verdict.OK, "database", f"PostgreSQL {version} answers and takes writes")
        yield await _check_database_clock(connection)
        async for finding in check_role(connection, Roles(config.db_role_prefix)):
            yield finding
        async for finding in _check_schema(config, connection):
            yield finding


async def _check_schema(config: Config, connection: Connection) -> Findings:
    if problem := await schema_problem(connection):
        found, _, fix = problem.partition(": ")
        yield Finding(Verdict.FAILED, "schema", found, fix)
        return
    yield Finding(Verdict.OK, "schema", "matches this version")
    days = await partition_days_left(connection)
    for table, left in days.items():
        if left < DAYS_LEFT_MIN:
            found = f"{table} has partitions for {left:.0f} more days"
            yield Finding(
                Verdict.FAILED, "partitions", found, "run `payment-service maintain` daily, as the owner of the tables"
            )
        else:
            yield Finding(Verdict.OK, "partitions", f"{table} has partitions for {left:.0f} more days")
    yield await _check_attention(connection)
    yield await _check_balance(connection)
    yield await check_keys(connection)
    yield await check_audit(connection)
    async for finding in _check_waiting_calls(connection):
        yield finding
    async for finding in check_installation(config, connection):
        yield finding
    yield await _check_disabled_providers(config, connection)
    if "stripe" in config.providers and not config.stripe_publishable_key:
        yield await _check_checkout(connection)


async def _check_attention(connection: Connection) -> Finding:
    counts: Counter[str] = Counter()
    for (what, _), items in (await attention.count(connection)).items():
        counts[what] += items
    nouns = _NOUNS | {what: source.noun for what, source in attention_sources().items()}
    found = ", ".join(
        f"{counts[what]} {noun}{'' if counts[what] == 1 else 's'}" for what, noun in nouns.items() if counts[what]
    )
    if found:
        return Finding(Verdict.WARNING, "attention", f"needs attention: {found}", "payment-service attention list")
    return Finding(Verdict.OK, "attention", "nothing needs attention")


async def _check_balance(connection: Connection) -> Finding:
    """Warn about refunds that wait until our own balance at the provider covers them."""
    waiting = await connection.fetchval(_sql.refunds_without_balance)
    if not waiting:
        return Finding(Verdict.OK, "balance", "no refund waits for it")
    found = f"{waiting} {'refund waits' if waiting == 1 else 'refunds wait'} for our balance at the provider"
    return Finding(Verdict.WARNING, "balance", found, "top it up; refunds are retried for a week, then they fail")


async def _check_waiting_calls(connection: Connection) -> Findings:
    for found in await waiting_calls.problems(connection):
        fix = "see PaymentCallsWaiting in docs/runbook.md; every call is retried under its own key"
        yield Finding(Verdict.FAILED, "provider", found, fix)


async def _check_database_clock(connection: Connection) -> Finding:
    effect = "a process here sends no calls and runs no timers"
    return _clock_finding("the database's", await database_time(connection), effect)


def _clock_finding(whose: str, theirs: datetime, effect: str) -> Finding:
    """Compare this host's clock with another. `effect`: a clause about the result of a large difference."""
    skew_s = (datetime.now(UTC) - theirs).total_seconds()
    if abs(skew_s) > SKEW_MAX_S:
        return Finding(Verdict.FAILED, "clock", describe(skew_s, whose), f"synchronize it (NTP): {effect}")
    return Finding(Verdict.OK, "clock", f"agrees with {whose} clock")


async def _check_providers(config: Config) -> Findings:
    try:
        require_providers(config)
    except ConfigError as error:
        yield Finding(
            Verdict.FAILED, "providers", str(error).rstrip("."), "install it, set what it needs, or correct PROVIDERS"
        )
        return
    yield Finding(Verdict.OK, "providers", f"{', '.join(config.providers)}: installed, with readable settings")


async def _check_disabled_providers(config: Config, connection: Connection) -> Finding:
    rows = await connection.fetch(_sql.disabled_provider_calls, list(config.providers))
    if not rows:
        return Finding(Verdict.OK, "calls", "none waits for a disabled provider")
    found = ", ".join(f"{row['calls']} for {row['provider']}" for row in rows)
    return Finding(Verdict.FAILED, "calls", f"waiting for a disabled provider: {found}", "add it to PROVIDERS")


async def _check_checkout(connection: Connection) -> Finding:
    """Warn if clients may use the checkout and the publishable key is not set; their page may have it from elsewhere."""
    clients = ", ".join(row["client"] for row in await connection.fetch(_sql.checkout_clients))
    if not clients:
        return Finding(Verdict.OK, "checkout", "not used: no API key has its scope")
    fix = "set it (Dashboard, Developers, API keys), or check that the page has it from elsewhere"
    found = f"STRIPE_PUBLISHABLE_KEY is not set, so checkouts for {clients} do not contain it"
    return Finding(Verdict.WARNING, "checkout", found, fix)


async def _check_stripe(config: Config) -> Findings:
    try:
        async with open_client(config) as session:
            base = config.stripe_api_base.rstrip("/")
            status, answer, date, _ = await _get(session, f"{base}/v1/payment_intents?limit=1", version=API_VERSION)
            finding = _key_finding(config, status, answer)
            yield finding
            if date is not None:
                yield _clock_finding("Stripe's", date, f"webhooks are refused beyond {TOLERANCE_S} s")
            if finding.verdict is Verdict.OK:
                # Without a version in the request, Stripe answers in that of the account, and names it.
                status, answer, _, version = await _get(session, f"{base}/v1/webhook_endpoints?limit=100")
                yield _endpoints_finding(status, answer)
                yield _versions_finding(_ours(answer), version)
    except aiohttp.ClientHttpProxyError as error:
        found = f"cannot connect: the proxy refuses the connection with status {error.status}"
        yield Finding(Verdict.FAILED, "stripe", found, "check HTTPS_PROXY and what the proxy allows, or set NO_PROXY")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        found = f"cannot connect: {describe_error(error)}"
        yield Finding(Verdict.FAILED, "stripe", found, "check STRIPE_API_BASE, HTTPS_PROXY and the network")


async def _get(
    session: aiohttp.ClientSession, url: str, *, version: str = ""
) -> tuple[int, dict[str, Any], datetime | None, str]:
    """Return status, body, date and API version of a response."""
    async with session.get(url, headers={"Stripe-Version": version} if version else {}) as response:
        date = response.headers.get("Date")
        answer = await response.json(content_type=None)
        return (
            response.status,
            answer if isinstance(answer, dict) else {},
            parsedate_to_datetime(date) if date else None,
            response.headers.get("Stripe-Version", ""),
        )


def _key_finding(config: Config, status: int, answer: dict[str, Any]) -> Finding:
    mode = "live" if "_live_" in config.stripe_secret_key.get_secret_value() else "test"
    match status:
        case HTTPStatus.OK:
            return Finding(Verdict.OK, "stripe key", f"valid, mode: {mode}")
        case HTTPStatus.UNAUTHORIZED:
            return Finding(
                Verdict.FAILED,
                "stripe key",
                "Stripe refuses it",
                "set a valid STRIPE_SECRET_KEY (Dashboard, Developers, API keys)",
            )
        case HTTPStatus.FORBIDDEN:
            return Finding(
                Verdict.FAILED,
                "stripe key",
                "has no permission to read payment intents",
                "grant the restricted key: PaymentIntents write, Charges and Refunds write, Products write",
            )
        case _:
            return Finding(
                Verdict.FAILED,
                "stripe key",
                f"could not be checked: Stripe returned {status}: {_message(answer)}",
                "try again; see status.stripe.com",
            )


def _endpoints_finding(status: int, answer: dict[str, Any]) -> Finding:
    create = f"add https://<your host>{WEBHOOK_PATH} for API version {API_VERSION} with the events {', '.join(sorted(TYPES_NEEDED))}"
    if status == HTTPStatus.FORBIDDEN:
        return Finding(
            Verdict.WARNING,
            "webhook",
            "the key has no permission to read webhook endpoints",
            "check Dashboard, Developers, Webhooks",
        )
    if status != HTTPStatus.OK:
        return Finding(
            Verdict.FAILED,
            "webhook",
            f"could not be checked: Stripe returned {status}: {_message(answer)}",
            "try again",
        )
    ours = _ours(answer)
    if not ours:
        return Finding(Verdict.FAILED, "webhook", f"no endpoint ends in {WEBHOOK_PATH}", create)
    faults = [_fault_of(endpoint) for endpoint in ours]
    if "" in faults:
        return Finding(Verdict.OK, "webhook", f"{ours[faults.index('')]['url']} receives every needed event")
    return Finding(Verdict.FAILED, "webhook", f"{ours[0]['url']} {faults[0]}", create)


def _ours(answer: dict[str, Any]) -> list[dict[str, Any]]:
    found = answer.get("data", [])
    return [one for one in found if urlsplit(str(one.get("url"))).path.rstrip("/") == WEBHOOK_PATH]


def _versions_finding(ours: list[dict[str, Any]], account: str) -> Finding:
    problem, fix = compare_versions([str(endpoint.get("api_version") or account) for endpoint in ours], account)
    return Finding(Verdict.WARNING if fix else Verdict.OK, "api version", problem, fix)


def _fault_of(endpoint: dict[str, Any]) -> str:
    """Return the fault of an endpoint, or an empty string. `*` is every event
    (docs.stripe.com/api/webhook_endpoints/object).
    """
    enabled = set(endpoint.get("enabled_events", []))
    if endpoint.get("status") == "disabled":
        return "is disabled"
    if missing := sorted(TYPES_NEEDED - enabled) if "*" not in enabled else []:
        return f"does not receive {', '.join(missing)}"
    return ""


def _message(answer: dict[str, Any]) -> str:
    error = answer.get("error")
    return str(error.get("message", "")) if isinstance(error, dict) else ""
