"""ROC pictures, linear and log-log: one Figure set up once, drawn for every target; no pyplot, no global state."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter

from raymeter.report.curves import Line, average_lines, target_lines
from raymeter.report.data_files import File
from raymeter.schema.results import AuditResult

# Okabe and Ito's palette without its yellow: distinguishable with any colour vision. A second round is dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":")
GREY, FAINT, SHADE = "#777777", "#E4E4E4", "#F0F0F0"


def write_pictures(result: AuditResult) -> Iterator[File]:
    """exp/ROC_<model>.png and exp/ROC_log_<model>.png for each target, ROC_average.png and ROC_log_average.png.

    Raises:
        SignalError: Scores from which no ROC curve can be made.
    """
    attacks, targets = result.attacks, result.attacks[0].targets
    linear, log = (RocPicture(len(attacks), log=log) for log in (False, True))
    for position, target in enumerate(targets):
        lines, title = target_lines(attacks, position), f"Attacks on {target.name}"
        yield f"exp/ROC_{target.target}.png", linear.draw(lines, title, target.non_members)
        yield f"exp/ROC_log_{target.target}.png", log.draw(lines, title, target.non_members)
    lines, title = average_lines(attacks), f"Attacks on {targets[0].name}"
    if len(targets) > 1:
        title = f"Mean over {len(targets)} target models (band: ± one sd between them)"
    non_members = min(target.non_members for target in targets)
    yield "ROC_average.png", linear.draw(lines, title, non_members)
    yield "ROC_log_average.png", log.draw(lines, title, non_members)


class RocPicture:
    """Axes, legend and line artists made once; `draw` only changes their data. Not for two threads at once.

    Args:
        curves: How many lines every picture has.
        log: Both axes logarithmic, with the FPR that the sample cannot resolve in grey.
    """

    def __init__(self, curves: int, log: bool) -> None:
        self._log = log
        self._figure = Figure(figsize=(6.4, 5.8), dpi=100)
        self._canvas = FigureCanvasAgg(self._figure)
        self._axes = self._figure.add_axes((0.105, 0.09, 0.865, 0.855))
        _style(self._axes, log)
        self._lines = [
            self._axes.plot(
                [],
                color=COLOURS[i % len(COLOURS)],
                linestyle=STYLES[i // len(COLOURS) % len(STYLES)],
                linewidth=1.5,
                drawstyle="steps-post",
                zorder=3,
            )[0]
            for i in range(curves)
        ]
        self._chance = self._axes.plot([], color=GREY, linewidth=1, linestyle=(0, (1, 2)), zorder=2.5)[0]
        across = self._axes.get_xaxis_transform()  # x in data, y from 0 at the bottom to 1 at the top
        self._blind = Rectangle((0, 0), 0, 1, transform=across, color=SHADE, linewidth=0, zorder=0)
        self._axes.add_patch(self._blind)
        self._blind_text = self._axes.text(
            0, 0.985, "", transform=across, rotation=90, size=8, color=GREY, ha="center", va="top", visible=log
        )
        self._legend = self._make_legend()

    def draw(self, lines: Sequence[Line], title: str, non_members: int) -> bytes:
        """One picture as PNG bytes.

        Args:
            lines: As many as the picture was made for, with FPR and TPR in [0, 1].
            title: Stands above the picture, as it is.
            non_members: How many the curves were made from (the fewest, for an average): an FPR below one
                in so many is grey, and log axes start at half of it.

        Raises:
            ValueError: The number of lines is not the one the picture was made for.
        """
        start = 0.5 / non_members if self._log else 0.0
        bands = []
        for artist, line in zip(self._lines, lines, strict=True):
            artist.set_data(*_visible(start, line.fpr, line.tpr))
            if line.low is not None and line.high is not None:
                fpr, low, high = _visible(start, line.fpr, line.low, line.high)
                bands.append(self._band(fpr, low, high, str(artist.get_color())))
        self._chance.set_data([start, 1], [start, 1])
        self._axes.set(xlim=(start, 1), ylim=(start, 1))
        if self._log:
            self._blind.set_bounds(start, 0, 1 / non_members - start, 1)
            self._blind_text.set_x(start * np.sqrt(2))
            self._blind_text.set_text(f"FPR < 1/{non_members}\nnot resolvable")
        self._axes.title.set_text(title)
        for text, line in zip(self._legend.get_texts(), lines, strict=False):
            text.set_text(line.label)
        buffer = io.BytesIO()
        self._canvas.print_png(buffer)
        for band in bands:
            band.remove()
        return buffer.getvalue()

    def _band(self, fpr: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> PolyCollection:
        return self._axes.fill_between(fpr, low, high, step="post", color=colour, alpha=0.15, linewidth=0, zorder=1)

    def _make_legend(self) -> Legend:
        handles = [*self._lines, self._chance]
        labels = ["attack"] * len(self._lines) + ["chance"]
        size = 8.5 if len(handles) < 10 else 7.0
        legend = self._axes.legend(
            handles,
            labels,
            title="AUC [95 % interval]",
            loc="lower right",
            fontsize=size,
            title_fontsize=size,
            framealpha=0.92,
            edgecolor=FAINT,
            borderaxespad=0.8,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
        return legend


def _visible(start: float, *curves: np.ndarray) -> list[np.ndarray]:
    """On an axis that starts at `start`, zero stands outside of what shows, where a log axis can have it."""
    return [np.maximum(curve, start / 2) for curve in curves]


def _style(axes: Axes, log: bool) -> None:
    axes.set_autoscale_on(False)  # limits come from the number of non-members, not from the curves
    if log:
        axes.set(xlim=(0.1, 1), ylim=(0.1, 1), xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(numticks=20))
            axis.set_minor_locator(LogLocator(subs=tuple(range(2, 10)), numticks=20))
            axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("False-positive rate (share of non-members flagged)", fontsize=10)
    axes.set_ylabel("True-positive rate (share of members found)", fontsize=10)
    axes.set_title("", fontsize=11, parse_math=False)
    axes.grid(True, which="major", color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", color=GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(GREY)
