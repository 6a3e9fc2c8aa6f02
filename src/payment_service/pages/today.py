"""The first page: money since midnight, success over the last day, what needs attention, and the state of the parts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from payment_service.db import attention, overview
from payment_service.db.clock import database_time
from payment_service.pages.charts import Point, bar_chart, rate_chart
from payment_service.pages.formatting import words
from payment_service.pages.health import parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from payment_service.db.overview import Cohort
    from payment_service.pages.site import Visit

_HOURS: Final = 24
_CODES_SHOWN: Final = 8
_PAID: Final = frozenset({"succeeded", "partially_refunded", "refunded"})
_UNPAID: Final = frozenset({"declined", "failed"})


@dataclass(slots=True)
class Sums:
    """Payments of one currency since midnight, by number and amount."""

    paid: int = 0
    paid_amount: Decimal = field(default_factory=Decimal)
    refunded: int = 0
    refunded_amount: Decimal = field(default_factory=Decimal)
    declined: int = 0
    open: int = 0


async def show(visit: Visit) -> Response:
    """Show the page."""
    async with visit.parts.reads.acquire() as connection:
        now = await database_time(connection)
        first_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=_HOURS - 1)
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        cohorts = await overview.recent(connection, min(first_hour, midnight))
        declines = await overview.decline_codes(connection, first_hour, limit=_CODES_SHOWN)
        counts = await attention.count(connection)
    points = success_by_hour(cohorts, first_hour)
    return visit.page(
        "today.html",
        section="today",
        now=now,
        sums=sums_of_today(cohorts),
        attention=sum(counts.values()),
        rate=success_rate(cohorts),
        chart=rate_chart("Success rate by hour of the last 24 hours", points, label_every=4),
        declines=declines,
        declines_chart=bar_chart(
            "Declined attempts of the last 24 hours by reason", [(words(c), n) for c, n in declines]
        ),
        points=[point for point in points if point.value is not None],
        parts=parts_of((await visit.parts.readiness()).checks),
    )


def sums_of_today(cohorts: Sequence[Cohort]) -> dict[str, Sums]:
    """Return the sums by currency of payments created since midnight."""
    found: defaultdict[str, Sums] = defaultdict(Sums)
    for one in cohorts:
        if not one.today:
            continue
        sums = found[one.currency]
        if one.status in _PAID:
            sums.paid += one.payments
            sums.paid_amount += Decimal(one.captured)
        elif one.status in _UNPAID:
            sums.declined += one.payments
        elif one.status != "canceled":
            sums.open += one.payments
        if Decimal(one.refunded):
            sums.refunded += one.payments
            sums.refunded_amount += Decimal(one.refunded)
    return dict(sorted(found.items()))


def success_by_hour(cohorts: Sequence[Cohort], first_hour: datetime) -> list[Point]:
    """Return the success rate of each hour; None if nobody paid or was declined in it."""
    hours = [first_hour + timedelta(hours=number) for number in range(_HOURS)]
    return [Point(f"{hour:%H}:00", success_rate([one for one in cohorts if one.hour == hour])) for hour in hours]


def success_rate(cohorts: Sequence[Cohort]) -> float | None:
    """Return the share of paid payments among those that were paid, declined or failed."""
    paid = sum(one.payments for one in cohorts if one.status in _PAID)
    unpaid = sum(one.payments for one in cohorts if one.status in _UNPAID)
    return paid / (paid + unpaid) if paid + unpaid else None
