"""The figures of a bench as a table, as JSON, and as a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Final

from bench.rows import ROWS, Row

ROOT: Final = Path(__file__).parent.parent
JSON_FILE: Final = ROOT / "docs" / "benchmarks.json"
PLOT_FILE: Final = ROOT / "docs" / "images" / "benchmarks.svg"

_LEFT, _WIDTH, _STEP, _TOP = 360, 320, 24, 40
# The plot shows values from a tenth of the goal to ten times it.
_DECADES: Final = 1.0
_GOOD, _BAD = "#2f7d4f", "#b3402a"


def table(values: Mapping[str, float]) -> str:
    """Return the figures with their goals as a table in Markdown."""
    lines = ["| Figure | Value | Goal | |", "|---|---|---|---|"]
    for row in ROWS:
        if row.key in values:
            verdict = {True: "reached", False: "**missed**", None: ""}[row.holds(values[row.key])]
            lines.append(f"| {row.name} | {_text(row, values[row.key])} | {_goal(row)} | {verdict} |")
    return "\n".join(lines)


def write(values: Mapping[str, float], conditions: Mapping[str, object]) -> None:
    """Write the JSON file and the plot into `docs/`."""
    figures = {
        row.key: {
            "name": row.name,
            "value": round(values[row.key], 4),
            "unit": row.unit,
            "goal": row.limit,
            "goal_is": None if row.limit is None else "at least" if row.more else "at most",
            "reached": row.holds(values[row.key]),
        }
        for row in ROWS
        if row.key in values
    }
    JSON_FILE.write_text(
        json.dumps({"conditions": conditions, "figures": figures}, indent=2, ensure_ascii=False) + "\n"
    )
    PLOT_FILE.write_text(plot(values))


def plot(values: Mapping[str, float]) -> str:
    """Return a plot in SVG: each figure as a multiple of its goal. Bars that reach the line or pass it are good."""
    rows = [row for row in ROWS if row.limit is not None and row.key in values]
    height = _TOP + _STEP * len(rows) + 20
    middle = _LEFT + _WIDTH / 2
    bars = "".join(part for n, row in enumerate(rows) for part in _bar(row, values[row.key], _TOP + _STEP * n, middle))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 130} {height}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="{middle}" y="20" text-anchor="middle">goal</text>'
        f'{bars}<line x1="{middle}" y1="26" x2="{middle}" y2="{height - 14}" stroke="#222"/>'
        f'<text x="{_LEFT}" y="{height - 2}" fill="#666">ten times worse</text>'
        f'<text x="{_LEFT + _WIDTH}" y="{height - 2}" fill="#666" text-anchor="end">ten times better</text></svg>\n'
    )


def _bar(row: Row, value: float, top: float, middle: float) -> Iterator[str]:
    goal = row.limit or 1.0
    ratio = (value / goal if row.more else goal / value) if value > 0 else 10.0
    length = max(-_DECADES, min(_DECADES, math.log10(ratio))) * _WIDTH / 2
    color = _GOOD if row.holds(value) else _BAD
    yield f'<text x="{_LEFT - 10}" y="{top + 14}" text-anchor="end">{escape(row.name)}</text>'
    yield f'<rect x="{min(middle, middle + length):.1f}" y="{top + 3}" width="{abs(length):.1f}" height="15" fill="{color}"/>'
    yield f'<text x="{_LEFT + _WIDTH + 8}" y="{top + 14}">{escape(_text(row, value))} ({escape(_goal(row))})</text>'


def _text(row: Row, value: float) -> str:
    return f"{value:,.{row.digits}f} {row.unit}".replace(" x", "x").replace(" /s", "/s")


def _goal(row: Row) -> str:
    if row.limit is None:
        return ""
    return f"{'≥' if row.more else '≤'} {row.limit:,g} {row.unit}".replace(" x", "x").replace(" /s", "/s")
