"""Plots as SVG text for a page: bars with intervals, and lines over time. All text in them is escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

COLOURS = ("#d97706", "#2563eb", "#6b7280", "#059669", "#9333ea", "#dc2626")
_BAR, _GAP, _LEFT, _RIGHT = 14, 6, 150, 60
_WIDTH = 640


@dataclass(frozen=True)
class Bar:
    """One bar: `value` in [0, 1] or None, its interval, and a mark (the ceiling) if any."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    mark: float | None = None


@dataclass(frozen=True)
class Point:
    """One point of a line, with its interval if any."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


def bars(rows: Sequence[Bar], chance: float | None = None) -> str:
    """Horizontal bars of shares from 0 to 100 %; whiskers are intervals, ticks marks, the dashed line is chance."""
    step = _BAR + _GAP
    height = step * len(rows) + 24
    inner = _WIDTH - _LEFT - _RIGHT

    def at(share: float) -> float:
        return _LEFT + inner * min(1.0, max(0.0, share))

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="grid" x1="{at(share):.1f}" x2="{at(share):.1f}" y1="0" y2="{height - 20}"/>')
        parts.append(_text(at(share), height - 6, f"{share:.0%}", "middle"))
    if chance is not None:
        parts.append(f'<line class="chance" x1="{at(chance):.1f}" x2="{at(chance):.1f}" y1="0" y2="{height - 20}"/>')
    for number, row in enumerate(rows):
        top = number * step + _GAP / 2
        middle = top + _BAR / 2
        parts.append(_text(_LEFT - 6, middle + 4, row.label, "end"))
        if row.value is None:
            parts.append(_text(_LEFT + 6, middle + 4, "not measured"))
            continue
        width = max(0.5, at(row.value) - _LEFT)
        parts.append(f'<rect x="{_LEFT}" y="{top:.1f}" width="{width:.1f}" height="{_BAR}" fill="{COLOURS[0]}"/>')
        if row.low is not None and row.high is not None:
            ends = f'x1="{at(row.low):.1f}" x2="{at(row.high):.1f}"'
            parts.append(f'<line class="whisker" {ends} y1="{middle:.1f}" y2="{middle:.1f}"/>')
        if row.mark is not None:
            x = at(row.mark)
            parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 1:.1f}" y2="{top + _BAR + 1:.1f}"/>')
        parts.append(_text(_WIDTH - 4, middle + 4, f"{row.value:.0%}", "end"))
    return _svg(height, parts)


def lines(series: Mapping[str, Sequence[Point]], x_name: str, y_name: str, even: float | None = None) -> str:
    """Lines with whiskers and a legend; `even` is a value to compare with, drawn dashed. Empty text without points."""
    points = [point for row in series.values() for point in row]
    if not points:
        return ""
    height, top, bottom, left = 260, 10, 40, 56
    ys = [value for p in points for value in (p.y, p.low, p.high) if value is not None] + ([] if even is None else [even])
    low, high = min(ys), max(ys)
    pad = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    low, high = low - pad, high + pad
    first, last = min(p.x for p in points), max(p.x for p in points)
    span = (last - first) or 1.0

    def x_at(x: float) -> float:
        return left + (x - first) / span * (_WIDTH - left - 16)

    def y_at(y: float) -> float:
        return top + (high - y) / (high - low) * (height - top - bottom)

    parts = []
    for value in _ticks(low, high):
        parts.append(f'<line class="grid" x1="{left}" x2="{_WIDTH - 16}" y1="{y_at(value):.1f}" y2="{y_at(value):.1f}"/>')
        parts.append(_text(left - 6, y_at(value) + 4, f"{value:g}", "end"))
    xs = sorted({p.x for p in points})
    for x in xs[:: max(1, math.ceil(len(xs) / 12))]:
        parts.append(_text(x_at(x), height - bottom + 16, f"{x:g}", "middle"))
    if even is not None:
        parts.append(f'<line class="chance" x1="{left}" x2="{_WIDTH - 16}" y1="{y_at(even):.1f}" y2="{y_at(even):.1f}"/>')
    for number, row in enumerate(series.values()):
        parts += _line(row, COLOURS[number % len(COLOURS)], x_at, y_at)
    parts.append(_text((left + _WIDTH) / 2, height - 6, x_name, "middle"))
    return f"<figure><figcaption>{html.escape(y_name)} · {_legend(list(series))}</figcaption>{_svg(height, parts)}</figure>"


def _line(row: Sequence[Point], colour: str, x_at: Callable[[float], float], y_at: Callable[[float], float]) -> list[str]:
    path = " ".join(f"{x_at(p.x):.1f},{y_at(p.y):.1f}" for p in row)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for p in row:
        if p.low is not None and p.high is not None:
            x = x_at(p.x)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y_at(p.low):.1f}" y2="{y_at(p.high):.1f}" stroke="{colour}"/>')
        if len(row) <= 20:
            parts.append(f'<circle cx="{x_at(p.x):.1f}" cy="{y_at(p.y):.1f}" r="3" fill="{colour}"/>')
    return parts


def _legend(names: Sequence[str]) -> str:
    return " ".join(
        f'<span class="key"><i style="background:{COLOURS[number % len(COLOURS)]}"></i>{html.escape(name)}</span>'
        for number, name in enumerate(names)
    )


def _ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 5
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step) + 1)]


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" role="img">{"".join(parts)}</svg>'
