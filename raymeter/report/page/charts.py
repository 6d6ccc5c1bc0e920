"""Geometry of the page's charts: numbers -> SVG coordinates; the drawing is in the templates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLOURS = 7  # --c0 to --c6 of style.css; further attacks have them again, in another style
STYLES = ("", "dashed", "dash-dotted")
DODGE = 3  # between the marks of two attacks with as many references
WIDTH, HEIGHT = 460, 360
LEFT, RIGHT, TOP, BOTTOM = 68, 12, 12, 44


@dataclass(frozen=True)
class Scale:
    """One axis: values between `low` and `high`, on a logarithmic scale where `log`, in pixels from start to end."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            value, low, high = (math.log10(max(number, self.low)) for number in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """Positions of the axis' marks and their labels."""
        if self.log:
            first = math.ceil(math.log10(self.low) - 1e-9)
            values = [10.0**power for power in range(first, math.floor(math.log10(self.high) + 1e-9) + 1)]
        else:
            step = _step(self.high - self.low)
            count = math.floor((self.high - self.low) / step + 1e-9) + 1
            start = math.ceil(self.low / step - 1e-9) * step
            values = [v for v in (start + i * step for i in range(count)) if v <= self.high + 1e-9 * step]
        return [(self(value), f"{value:.10g}") for value in values]


def _step(span: float) -> float:
    raw = span / 5 if span > 0 else 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)


def looks(attacks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The colour and style of every attack's lines, the same in all charts."""
    return {
        name: {"colour": number % COLOURS, "style": STYLES[number // COLOURS % len(STYLES)]}
        for number, name in enumerate(attacks)
    }


def roc_chart(curves: Mapping[str, Mapping[str, Any]], non_members: int, log: bool) -> dict[str, Any]:
    """Step curves of all attacks with their bands."""
    lowest = 1 / (2 * non_members)
    x = Scale(lowest if log else 0.0, 1.0, LEFT, WIDTH - RIGHT, log)
    y = Scale(lowest if log else 0.0, 1.0, HEIGHT - BOTTOM, TOP, log)
    lines = []
    for name, curve in curves.items():
        band = ""
        if any(low is not None for low in curve["low"]):
            upper = _steps(curve["fpr"], curve["high"], x, y)
            lower = _steps(curve["fpr"], curve["low"], x, y)
            band = f"M{' L'.join(upper)} L{' L'.join(reversed(lower))}Z"
        path = " L".join(_steps(curve["fpr"], curve["tpr"], x, y))
        lines.append({"name": name, "path": f"M{path}", "band": band})
    diagonal = [lowest * (1 / lowest) ** (i / 40) for i in range(41)] if log else [0.0, 1.0]
    return {
        "log": log,
        "shade": round(0.54 / max(3, len(lines)), 3),
        "x": x,
        "y": y,
        "lines": lines,
        "chance": "M" + " L".join(f"{x(value)},{y(value)}" for value in diagonal),
        "unresolvable": x(1 / non_members) if log else None,
    }


def _steps(xs: Sequence[float], ys: Sequence[float | None], x: Scale, y: Scale) -> list[str]:
    corners: list[str] = []
    previous: float | None = None
    for across, value in zip(xs, ys, strict=True):
        if value is None:
            continue
        if previous is not None:
            corners.append(f"{x(across)},{previous}")
        previous = y(value)
        corners.append(f"{x(across)},{previous}")
    return corners


def histogram_chart(histogram: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Two histograms over each other."""
    edges = histogram["edges"]
    top = max(*histogram["members"], *histogram["non_members"], 1e-9)
    x = Scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    y = Scale(0.0, top, HEIGHT - BOTTOM, TOP)
    sides = []
    for name, colour in (("non_members", 0), ("members", 1)):
        bars = [
            {"x": x(a), "width": round(max(x(b) - x(a), 0.5), 2), "y": y(value), "height": round(y(0) - y(value), 2)}
            for a, b, value in zip(edges[:-1], edges[1:], histogram[name], strict=True)
        ]
        sides.append({"name": name.replace("_", "-"), "colour": colour, "bars": bars})
    return {"x": x, "y": y, "sides": sides}


def power_chart(power: Mapping[str, Sequence[Mapping[str, Any]]], what: str) -> dict[str, Any]:
    """What attacks find with fewer references, with intervals."""
    points = [point for curve in power.values() for point in curve]
    most = max(point["references"] for point in points)
    values = [point[what][end] for point in points for end in ("low", "high")]
    chance = 0.5 if what == "auc" else points[0]["fpr"]
    margin = 14 + DODGE * len(power) / 2
    x = Scale(1.0, max(most, 2), LEFT + margin, WIDTH - RIGHT - margin, True)
    y = Scale(min(*values, chance), max(*values, chance), HEIGHT - BOTTOM, TOP)
    lines = []
    for number, (name, curve) in enumerate(power.items()):
        aside = DODGE * (number - (len(power) - 1) / 2)
        marks = [
            {
                "x": round(x(p["references"]) + aside, 2),
                "y": y(p[what]["estimate"]),
                "low": y(p[what]["low"]),
                "high": y(p[what]["high"]),
            }
            for p in curve
        ]
        lines.append(
            {
                "name": name,
                "marks": marks,
                "path": "M" + " L".join(f"{m['x']},{m['y']}" for m in marks),
            }
        )
    counts = sorted({point["references"] for point in points})
    return {"x": x, "y": y, "lines": lines, "chance": y(chance), "counts": [(x(count), count) for count in counts]}
