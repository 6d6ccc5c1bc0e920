"""ROC pictures: per target and averaged, linear and log-log; drawn without pyplot, so from any thread."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from raymeter.schema import AttackResult
from raymeter.stats import roc_curve

# Okabe and Ito's palette without its yellow: distinguishable with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", "-.", ":")
KEPT_EXACT, KEPT_REST = 200, 300


@dataclass(frozen=True)
class Line:
    """One curve of a picture, with an optional band around it."""

    label: str
    fpr: Float[np.ndarray, " points"]
    tpr: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"] | None = None
    high: Float[np.ndarray, " points"] | None = None


def target_lines(attacks: Sequence[AttackResult], position: int) -> list[Line]:
    """ROC curves of all attacks on one target."""
    lines = []
    for attack in attacks:
        scores = attack.scores
        fpr, tpr = thin(*roc_curve(scores.values[:, position], scores.member[:, position])[:2])
        interval = attack.targets[position].auc
        lines.append(Line(_label(attack.name, interval.estimate, interval.low, interval.high), fpr, tpr))
    return lines


def average_lines(attacks: Sequence[AttackResult]) -> list[Line]:
    """Vertical averages over targets: the mean TPR at every FPR, with a band of one standard deviation."""
    lines = []
    for attack in attacks:
        grid = fpr_grid(min(target.non_members for target in attack.targets))
        tpr = np.stack(
            [
                step_tpr(*roc_curve(attack.scores.values[:, t], attack.scores.member[:, t])[:2], grid)
                for t in range(len(attack.targets))
            ]
        )
        mean, sd = tpr.mean(axis=0), tpr.std(axis=0)
        label = _label(attack.name, attack.auc.estimate, attack.auc.low, attack.auc.high)
        band = (mean - sd, mean + sd) if len(tpr) > 1 else (None, None)
        lines.append(Line(label, grid, mean, *band))
    return lines


def fpr_grid(non_members: int) -> Float[np.ndarray, " points"]:
    """Every achievable FPR up to a hundred steps, then a few hundred more up to 1."""
    steps = np.unique(np.geomspace(1, non_members, 400).astype(int))
    few = np.arange(min(100, non_members) + 1)
    return np.union1d(few, steps) / non_members


def step_tpr(
    fpr: Float[np.ndarray, " points"], tpr: Float[np.ndarray, " points"], grid: Float[np.ndarray, " grid"]
) -> Float[np.ndarray, " grid"]:
    """Highest TPR with an FPR of at most each grid value: the step rule, no interpolation."""
    last = np.searchsorted(fpr, grid * (1 + 1e-12), side="right") - 1
    steps: np.ndarray = tpr[last]
    return steps


def thin(
    fpr: Float[np.ndarray, " points"], tpr: Float[np.ndarray, " points"]
) -> tuple[Float[np.ndarray, " kept"], Float[np.ndarray, " kept"]]:
    """Leave out vertices that no picture can show; the first ones, at the lowest FPR, all stay."""
    if len(fpr) <= KEPT_EXACT + KEPT_REST:
        return fpr, tpr
    rest = np.linspace(KEPT_EXACT, len(fpr) - 1, KEPT_REST).astype(int)
    kept = np.concatenate([np.arange(KEPT_EXACT), rest])
    return fpr[kept], tpr[kept]


def draw(lines: Sequence[Line], title: str, non_members: int, log: bool) -> bytes:
    """One picture as PNG bytes.

    Args:
        lines: Curves with FPR and TPR in [0, 1].
        title: Stands above the picture.
        non_members: Sets the smallest resolvable FPR, 1 / non_members, below which the log picture is grey.
        log: Both axes logarithmic, starting at half of that.
    """
    figure = Figure(figsize=(6.4, 5.6), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    smallest = 0.5 / non_members
    for index, line in enumerate(lines):
        _draw_line(axes, line, COLOURS[index % len(COLOURS)], STYLES[index % len(STYLES)], smallest if log else 0.0)
    chance = np.geomspace(smallest, 1, 50) if log else np.array([0.0, 1.0])
    axes.plot(chance, chance, color="#999999", linewidth=1, linestyle=(0, (1, 2)), label="chance")
    if log:
        axes.set(xscale="log", yscale="log", xlim=(smallest, 1), ylim=(smallest, 1.05))
        axes.axvspan(smallest, 1 / non_members, color="#eeeeee", linewidth=0, zorder=0)
        axes.text(
            1.15 / non_members, 1.3 * smallest, "grey: FPR not resolvable", color="#777777", fontsize=8, va="bottom"
        )
    else:
        axes.set(xlim=(0, 1), ylim=(0, 1.0))
    axes.set_xlabel("False-positive rate")
    axes.set_ylabel("True-positive rate")
    axes.set_title(title, fontsize=11)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left" if log else "lower right", fontsize=8, framealpha=0.9, edgecolor="#dddddd")
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()


def _draw_line(axes: Axes, line: Line, colour: str, style: str, floor: float) -> None:
    fpr, tpr = np.maximum(line.fpr, floor), np.maximum(line.tpr, floor)
    axes.plot(fpr, tpr, color=colour, linestyle=style, linewidth=1.6, label=line.label, drawstyle="steps-post")
    if line.low is not None and line.high is not None:
        low, high = np.maximum(line.low, floor), np.clip(line.high, floor, 1)
        axes.fill_between(fpr, low, high, color=colour, alpha=0.12, linewidth=0, step="post")


def _label(name: str, estimate: float, low: float, high: float) -> str:
    return f"{name}: AUC {estimate:.3f} [{low:.3f}, {high:.3f}]"
