"""The plan: which copy of a template has which difference, and what a run must report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from random import Random
from typing import Final
from uuid import UUID

from payment_service.db.reconciliations import Window
from tests.support.flows import name_of
from tests.support.planted.kinds import KINDS, OUTSIDE, Kind
from tests.support.planted.templates import CLEAN, FOREIGN, Template

SEED: Final = 11
LENGTH: Final = timedelta(hours=20)
# Away from the borders, so that only the planted ones are there.
MARGIN_S: Final = 60
# Shares of a shop's payments: most are paid.
_WEIGHTS: Final = {"paid": 80}
_FOREIGN_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a template. `other`: a clean paid payment."""

    number: int
    template: str
    object_at: int
    row_at: int
    kind: Kind | None = None
    other: UUID | None = None

    @property
    def order_id(self) -> str:
        """Return the order of the copy."""
        return f"o-{self.number}"

    @property
    def payment_id(self) -> UUID:
        """Return the payment of the copy."""
        return name_of(self.order_id)

    @property
    def suffix(self) -> str:
        """Return the end of all its ids at the provider."""
        return f"N{self.number}"


@dataclass(frozen=True)
class Plan:
    """Copies in the order of their creation at the provider. They fill the window."""

    window: Window
    copies: Sequence[Copy]

    @cached_property
    def planted(self) -> list[Copy]:
        """Return the copies with a difference in the window."""
        return [copy for copy in self.copies if copy.kind is not None and copy.kind not in OUTSIDE]

    def expected(self, templates: Mapping[str, Template]) -> dict[tuple[str, str], Kind]:
        """Return the differences that a run must report, by code and subject."""
        return dict(self._expected(templates))

    def _expected(self, templates: Mapping[str, Template]) -> Iterator[tuple[tuple[str, str], Kind]]:
        for copy in self.planted:
            kind = copy.kind
            assert kind is not None
            if kind.invented_id:
                yield (kind.code, f"{kind.invented_id}{copy.order_id}"), kind
            else:
                yield (kind.code, templates[copy.template].object_id(*kind.subject) + copy.suffix), kind


def make_plan(payments: int, differences: int, *, now: datetime) -> Plan:
    """Put differences of all kinds at random places. The window ends a minute ago."""
    random = Random(SEED)
    until = now.astimezone(UTC).replace(microsecond=0) - timedelta(minutes=1)
    window = Window.of(until - LENGTH, until)
    kinds: list[Kind] = [KINDS[n % len(KINDS)] for n in range(differences)] + [*OUTSIDE]
    places = dict(zip(random.sample(range(payments), len(kinds)), kinds, strict=True))
    weights = [_WEIGHTS.get(name, 2) for name in CLEAN]
    free = range(payments)
    shapes = [
        random.choice(FOREIGN) if random.random() < _FOREIGN_SHARE else random.choices(CLEAN, weights)[0] for _ in free
    ]
    paid = [n for n in free if n not in places and shapes[n] == "paid"]
    others = iter(random.sample(paid, len(kinds)))
    copies = [
        _copy(n, shapes[n], places.get(n), window, share=n / payments, other=next(others) if n in places else None)
        for n in free
    ]
    return Plan(window, sorted(copies, key=lambda copy: copy.object_at))


def _copy(number: int, shape: str, kind: Kind | None, window: Window, *, share: float, other: int | None) -> Copy:
    since, until = int(window.since.timestamp()), int(window.until.timestamp())
    at = since + MARGIN_S + int(share * (until - since - 2 * MARGIN_S))
    if kind is None:
        return Copy(number, shape, at, at)
    if border := {"since": since, "until": until}.get(kind.border):
        return Copy(number, kind.template, border + kind.object_s, border + kind.row_s, kind, name_of(f"o-{other}"))
    return Copy(number, kind.template, at, at, kind, name_of(f"o-{other}"))
