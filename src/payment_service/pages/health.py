"""The state of the service: its parts, the checks of `doctor`, processes, publishing and partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.contracts.findings import Verdict
from payment_service.db import overview, publishing
from payment_service.db.gauges import partition_days_left
from payment_service.pages.badges import Badge
from payment_service.telemetry.logs import mask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from payment_service.contracts.findings import Finding
    from payment_service.pages.site import Visit

_NAMES: Final = {
    "database": "Database",
    "schema": "Schema",
    "broker": "Kafka",
    "provider": "Payment provider",
    "clock": "Clocks",
    "installation": "Installation",
}

_VERDICTS: Final = {
    Verdict.OK: Badge("ok", "good"),
    Verdict.WARNING: Badge("warning", "wait"),
    Verdict.FAILED: Badge("failed", "bad"),
}


async def show(visit: Visit) -> Response:
    """Show the state of everything that this process can see."""
    readiness = await visit.parts.readiness()
    async with visit.parts.reads.acquire() as connection:
        outbox = await publishing.status(connection)
        topics = await publishing.refusing_topics(connection)
        workers = await overview.workers(connection)
        days_left = await partition_days_left(connection)
    checks, checks_age_s = await visit.site.checks.read()
    oldest = outbox["oldest_at"]
    return visit.page(
        "health.html",
        section="health",
        parts=parts_of(readiness.checks),
        checks=[_line(one) for one in checks] if checks is not None else None,
        checks_age_s=checks_age_s,
        outbox=outbox,
        lag_s=max(0, int((outbox["at"] - oldest).total_seconds())) if oldest else 0,
        topics=topics,
        workers=workers,
        days_left=sorted(days_left.items()),
    )


def _line(finding: Finding) -> tuple[str, Badge, str, str]:
    """Return a check with its badge, the finding and the fix. Secrets are masked as in the command."""
    return finding.subject, _VERDICTS[finding.verdict], mask(finding.found), mask(finding.fix)


def parts_of(checks: Mapping[str, str]) -> list[tuple[str, Badge, str]]:
    """Return each part of the service with its badge and its problem in words."""
    return [
        (
            _NAMES.get(name, name),
            Badge("ok", "good") if found == "ok" else Badge("failing", "bad"),
            "" if found == "ok" else found,
        )
        for name, found in sorted(checks.items())
    ]
