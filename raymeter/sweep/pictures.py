"""Pictures of a sweep: the metric against every setting, heat maps for pairs, the best ROC against the default's."""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raymeter.report.curves import Line, average_lines
from raymeter.report.data_files import File
from raymeter.report.roc_pictures import COLOURS, FAINT, GREY, RocPicture
from raymeter.schema.results import AttackResult
from raymeter.schema.scores import Scores
from raymeter.stats import auc_figure, mean_over_targets
from raymeter.stats.figures import figures_of
from raymeter.sweep.evaluate import RESULTS
from raymeter.sweep.metric import Metric
from raymeter.sweep.result import SweepResult

MOST_PANELS = 12
MOST_VALUES = 12  # of a setting, on the axis of a heat map; more numbers than that are put together in intervals
MOST_MAPS = 6


def write_metric_picture(result: SweepResult) -> Iterator[File]:
    """metric.png: every setting's metric against each thing that was varied; nothing if only one thing was tried."""
    rows = [row for row in result.rows if row["metric"] is not None]
    varied = _varied(rows)
    if not varied:
        return
    shown, varied = len(varied), varied[:MOST_PANELS]
    across = min(3, len(varied))
    down = -(-len(varied) // across)
    figure = Figure(figsize=(4.2 * across, 3.4 * down), dpi=100)
    canvas = FigureCanvasAgg(figure)
    attacks = list(dict.fromkeys(row["attack"] for row in rows))
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes, key in itertools.zip_longest(grid, varied):
        if key is None:
            axes.set_visible(False)
        else:
            _scatter(axes, rows, key, attacks, result)
    title = f"{result.metric} of every setting on the selection targets (line: the best; chance is {_chance(result)})"
    if shown > len(varied):
        title += f"; {len(varied)} of the {shown} things that were varied"
    wide, high = figure.get_size_inches()
    title = textwrap.fill(title, int(12 * wide))
    figure.suptitle(title, fontsize=11, y=1 - 0.1 / high)
    right = 1.0
    if len(attacks) > 1:
        figure.legend(*grid[0].get_legend_handles_labels(), loc="center right", fontsize=9, edgecolor=FAINT)
        right = 1 - 1.25 / wide
    figure.tight_layout(rect=(0, 0, right, 1 - (0.1 + 0.2 * len(title.splitlines())) / high))
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    yield "metric.png", buffer.getvalue()


def write_heat_maps(result: SweepResult) -> Iterator[File]:
    """heat_<a>_<b>.png for pairs of what was varied in the winner's attack: the best metric of each pair of values."""
    rows = [row for row in result.rows if row["metric"] is not None and row["attack"] == result.best["attack"]]
    varied = [key for key in _varied(rows) if key != "attack"]
    for first, second in list(itertools.combinations(varied, 2))[:MOST_MAPS]:
        axes = MapAxis.of(rows, first), MapAxis.of(rows, second)
        if all(axis is not None for axis in axes):
            yield f"heat_{first}_{second}.png", _heat_map(rows, *axes, f"{result.best['attack']}: best {result.metric}")  # type: ignore[arg-type]


def write_best_roc(result: SweepResult) -> Iterator[File]:
    """best_roc.png: ROC of the winner and of its attack's defaults, both on the report targets, log-log."""
    by_name = {"best": result.best_scores, "defaults": result.default_scores}
    lines = [
        _mean_curve(name, scores, result.report.clusters) for name, scores in by_name.items() if scores is not None
    ]
    non_members = int((~result.best_scores.member).sum(axis=0).min())
    title = f"{result.best['attack']} on {count_targets(len(result.report.targets))} that nothing was chosen on"
    if len(result.report.targets) > 1:
        title += " (band: ± one sd)"
    yield "best_roc.png", RocPicture(len(lines), log=True).draw(lines, title, non_members)


def _mean_curve(name: str, scores: Scores, clusters: Sequence[int]) -> Line:
    mean = mean_over_targets(figures_of(auc_figure, scores), np.asarray(clusters))
    (line,) = average_lines([AttackResult(name, scores, (), mean, {}, {})])
    return line


def _scatter(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, attacks: list[str], result: SweepResult) -> None:
    numbers = all(isinstance(row.get(key), int | float | None) for row in rows)
    shown = [row for row in rows if not numbers or row.get(key) is not None]
    names = list(dict.fromkeys(map(show, ordered(row.get(key) for row in shown))))
    rng = np.random.default_rng(0)
    for i, attack in enumerate(attacks):
        own = [row for row in shown if row["attack"] == attack]
        if not own:
            continue
        places = [row[key] if numbers else names.index(show(row.get(key))) for row in own]
        spread = 0.0 if numbers else 0.12
        x = np.array(places, dtype=np.float64) + spread * rng.uniform(-1, 1, len(places))
        axes.scatter(x, [row["metric"] for row in own], s=12, alpha=0.5, color=COLOURS[i % len(COLOURS)], label=attack)
    if numbers:
        values = [row[key] for row in shown]
        if is_wide(values):
            axes.set_xscale("log")
        elif all(isinstance(value, int) for value in values):
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    else:
        axes.set_xlim(-0.5, len(names) - 0.5)
        tilt: dict[str, Any] = {"rotation": 30, "ha": "right"} if sum(map(len, names)) > 32 else {}
        axes.set_xticks(range(len(names)), names, **tilt)
    axes.axhline(result.best["metric"], color=GREY, linewidth=1, linestyle=(0, (1, 2)))
    axes.set_xlabel(key)
    axes.grid(True, color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


@dataclass(frozen=True)
class MapAxis:
    """One setting on an axis of a heat map: its values, or intervals of them, and the place of each row."""

    key: str
    labels: list[str]
    places: Sequence[int]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], key: str) -> MapAxis | None:
        """None where there are more names than an axis holds."""
        values = [row.get(key) for row in rows]
        different = ordered(values)
        if len(different) <= MOST_VALUES:
            place = {value: position for position, value in enumerate(different)}
            return cls(key, [show(value) for value in different], [place[value] for value in values])
        if not all(isinstance(value, int | float) for value in values):
            return None
        numbers = np.array(values, dtype=np.float64)
        count = min(MOST_VALUES, max(3, math.isqrt(len(rows))))  # few rows would leave most of many cells empty
        if is_wide(values):
            edges = np.geomspace(numbers.min(), numbers.max(), count + 1)
        else:
            edges = np.asarray(MaxNLocator(count, steps=[1, 2, 5, 10]).tick_values(numbers.min(), numbers.max()))
        places = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
        labels = [f"{a:.3g} to {b:.3g}" for a, b in itertools.pairwise(edges)]
        return cls(key, labels, places.tolist())


def _heat_map(rows: Sequence[Mapping[str, Any]], across: MapAxis, down: MapAxis, title: str) -> bytes:
    best = np.full((len(down.labels), len(across.labels)), np.nan)
    for row, x, y in zip(rows, across.places, down.places, strict=True):
        best[y, x] = np.fmax(best[y, x], row["metric"])
    columns = len(across.labels)
    wide = max(map(len, across.labels)) > 7 * max(6, columns) / columns - 1  # in characters
    figure = Figure(figsize=(2.6 + 0.6 * max(6, columns), 2.0 + 0.45 * max(4, len(down.labels))), dpi=100)
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    image = axes.imshow(best, aspect="auto", origin="lower", cmap="viridis")
    tilt: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if wide else {}
    axes.set_xticks(range(len(across.labels)), across.labels, **tilt)
    axes.set_yticks(range(len(down.labels)), down.labels)
    middle = (np.nanmin(best) + np.nanmax(best)) / 2
    for (i, j), value in np.ndenumerate(best):
        if not np.isnan(value):
            axes.text(
                j, i, f"{value:.3f}", ha="center", va="center", size=7, color="black" if value > middle else "white"
            )
    axes.set(xlabel=across.key, ylabel=down.key)
    untried = " (white: not tried)" if np.isnan(best).any() else ""
    axes.set_title(f"{title} on the selection targets{untried}", fontsize=10, wrap=True)
    figure.colorbar(image)
    figure.tight_layout()
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()


def keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Everything that rows set, in the order in which it first occurs."""
    return list(dict.fromkeys(key for row in rows for key in row if key not in RESULTS))


def _varied(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [key for key in keys(rows) if len({show(row.get(key)) for row in rows}) > 1]


def ordered(values: Iterable[Any]) -> list[Any]:
    """Different values: numbers first, then names, then what does not apply."""
    return sorted(set(values), key=lambda v: (v is None, isinstance(v, str), v if v is not None else 0))


def is_wide(values: Sequence[Any]) -> bool:
    """Whether numbers go up by factors rather than by steps, and are shown on a logarithmic scale."""
    low, high = min(values), max(values)
    return low > 0 and high / low > 20 and bool(np.median(values) < (math.sqrt(low * high) + (low + high) / 2) / 2)


def _chance(result: SweepResult) -> str:
    return f"{Metric(result.metric).chance:.3g}"


def show(value: Any) -> str:
    """A setting's value as pictures and lines have it."""
    if value is None:
        return "does not apply"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def count_targets(number: int) -> str:
    """`1 target`, `2 targets`."""
    return f"{number} target" if number == 1 else f"{number} targets"
