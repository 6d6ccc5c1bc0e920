"""The picture of what fewer reference models would have found."""

from __future__ import annotations

import io
from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from raymeter.report.data_files import File
from raymeter.report.roc_pictures import COLOURS, FAINT, GREY, STYLES
from raymeter.schema.results import AuditResult, MeanInterval, PowerPoint


def write_power_picture(result: AuditResult) -> Iterator[File]:
    """power.png: AUC, and TPR at the power curve's FPR, against references per target; none without a curve.

    Bars are 95 % intervals. Points of attacks stand a little apart so that bars do not hide one another.
    """
    curves = {name: points for name, points in result.power.items() if points}
    if not curves:
        return
    figure = Figure(figsize=(11, 4.6), dpi=100)
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    fpr = next(iter(curves.values()))[0].fpr
    _draw(left, curves, "auc", "AUC", 0.5)
    _draw(right, curves, "tpr", f"TPR at {100 * fpr:g} % FPR", fpr)
    if not all(point.resolvable for points in curves.values() for point in points):
        right.set_title("not resolvable: fewer than one false positive allowed", fontsize=9, color=GREY)
    legend = figure.legend(*left.get_legend_handles_labels(), loc="outside right upper", fontsize=9, edgecolor=FAINT)
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.suptitle("What fewer reference models would have found", fontsize=11)
    figure.tight_layout(rect=(0, 0, 0.84, 1))
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    yield "power.png", buffer.getvalue()


def _draw(axes: Axes, curves: dict[str, tuple[PowerPoint, ...]], what: str, label: str, chance: float) -> None:
    counts = sorted({point.references for points in curves.values() for point in points})
    for i, (name, points) in enumerate(curves.items()):
        shift = 1.02 ** (i - (len(curves) - 1) / 2)
        means: list[MeanInterval] = [getattr(point, what) for point in points]
        axes.errorbar(
            [point.references * shift for point in points],
            [mean.estimate for mean in means],
            yerr=[[mean.estimate - mean.low for mean in means], [mean.high - mean.estimate for mean in means]],
            color=COLOURS[i % len(COLOURS)],
            linestyle=STYLES[i // len(COLOURS) % len(STYLES)],
            marker="o",
            markersize=4,
            linewidth=1.5,
            elinewidth=1,
            label=name,
        )
    axes.axhline(chance, color=GREY, linewidth=1, linestyle=(0, (1, 2)), label="chance")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("reference pairs per target", fontsize=10)
    axes.set_ylabel(label, fontsize=10)
    axes.grid(True, color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(GREY)
    axes.tick_params(which="both", color=GREY)
