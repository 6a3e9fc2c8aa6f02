"""Charts as SVG, drawn on the server. Colors are the page's own, so they follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

_WIDTH: Final = 640
_HEIGHT: Final = 170
_LEFT: Final = 44
_TOP: Final = 12
_BOTTOM: Final = 26
_BAR_STEP: Final = 26
_LABEL_WIDTH: Final = 190


@dataclass(frozen=True, slots=True)
class Point:
    """A value from 0 to 1 at a label; None: nothing was measured."""

    label: str
    value: float | None


def rate_chart(title: str, points: Sequence[Point], *, label_every: int) -> Markup:
    """Draw a rate over time as a line. Gaps stay gaps."""
    plot = _HEIGHT - _TOP - _BOTTOM
    step = (_WIDTH - _LEFT - 12) / max(len(points) - 1, 1)
    places = [
        (_LEFT + step * number, _TOP + plot * (1 - point.value)) if point.value is not None else None
        for number, point in enumerate(points)
    ]
    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 12}" y1="{_TOP + plot * (1 - rate):.1f}" y2="{_TOP + plot * (1 - rate):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{_TOP + plot * (1 - rate) + 4:.1f}" text-anchor="end">{rate:.0%}</text>'
        for rate in (0, 0.5, 1)
    )
    labels = "".join(
        f'<text x="{_LEFT + step * number:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(point.label)}</text>'
        for number, point in enumerate(points)
        if number % label_every == 0
    )
    dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in filter(None, places))
    lines = "".join(f'<polyline class="line" points="{_joined(run)}"/>' for run in _runs(places))
    return _svg(title, _HEIGHT, grid + labels + lines + dots)


def bar_chart(title: str, bars: Sequence[tuple[str, int]]) -> Markup:
    """Draw counts as horizontal bars, with the numbers beside them."""
    most = max((number for _, number in bars), default=1)
    room = _WIDTH - _LABEL_WIDTH - 60
    drawn = "".join(
        f'<text x="{_LABEL_WIDTH - 10}" y="{row * _BAR_STEP + 17}" text-anchor="end">{escape(label)}</text>'
        f'<rect class="bar" x="{_LABEL_WIDTH}" y="{row * _BAR_STEP + 4}" width="{max(2, room * number / most):.1f}" height="17" rx="3"/>'
        f'<text x="{_LABEL_WIDTH + max(2, room * number / most) + 8:.1f}" y="{row * _BAR_STEP + 17}">{number:,}</text>'
        for row, (label, number) in enumerate(bars)
    )
    return _svg(title, max(1, len(bars)) * _BAR_STEP, drawn)


def _runs(places: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for place in places:
        if place is None:
            runs.append([])
        else:
            runs[-1].append(place)
    return [run for run in runs if len(run) > 1]


def _joined(run: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in run)


def _svg(title: str, height: int, inner: str) -> Markup:
    head = f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    return Markup(head + inner + "</svg>")  # noqa: S704 - every text above is escaped
