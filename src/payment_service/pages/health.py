"""The state of the service: its parts, processes, publishing and partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.db import overview, publishing
from payment_service.db.gauges import partition_days_left
from payment_service.pages.badges import Badge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from payment_service.pages.site import Visit

_NAMES: Final = {
    "database": "Database",
    "schema": "Schema",
    "broker": "Kafka",
    "provider": "Payment provider",
    "clock": "Clocks",
    "installation": "Installation",
}


async def show(visit: Visit) -> Response:
    """Show the state of everything that this process can see."""
    readiness = await visit.parts.readiness()
    async with visit.parts.reads.acquire() as connection:
        outbox = await publishing.status(connection)
        topics = await publishing.refusing_topics(connection)
        workers = await overview.workers(connection)
        days_left = await partition_days_left(connection)
    oldest = outbox["oldest_at"]
    return visit.page(
        "health.html",
        section="health",
        parts=parts_of(readiness.checks),
        outbox=outbox,
        lag_s=max(0, int((outbox["at"] - oldest).total_seconds())) if oldest else 0,
        topics=topics,
        workers=workers,
        days_left=sorted(days_left.items()),
    )


def parts_of(checks: Mapping[str, str]) -> list[tuple[str, Badge, str]]:
    """Return each part of the service with its badge and its problem in words."""
    return [
        (
            _NAMES.get(name, name),
            Badge("ok", "good") if found == "ok" else Badge("look", "bad"),
            "" if found == "ok" else found,
        )
        for name, found in sorted(checks.items())
    ]
