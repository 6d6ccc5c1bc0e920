"""What the page shows beyond metrics.json: curves, histograms, the most exposed records; small for any audit."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64
from PIL import Image

from raymeter.analysis.evidence import untestable
from raymeter.analysis.record_exposure import most_exposed
from raymeter.report.curves import curve, step_tpr
from raymeter.report.verdict import finding, in_people, remarks, verdict
from raymeter.schema.results import AttackResult, AuditResult
from raymeter.stats import dependent_targets
from raymeter.stats.roc_band import roc_band

VERSION = 2
POINTS, EVERY = 160, 4  # of a curve, and of its band
BINS = 40  # of a histogram
LEAST_RANGE, RELATIVE_RANGE = 1e-290, 1e-8  # that a histogram covers, absolute and of its scores
MOST_VALUES = 12  # of a record that is no image
MOST_SCORES = 2_000_000  # of a target, beyond which thresholds are not looked up; and of a histogram
ROWS_FOR_CLUSTERS, DEPENDENT = 100_000, 0.9


def page_data(result: AuditResult) -> dict[str, Any]:
    """Plain values, to be stored as page.json next to the report, so that the page can be made again."""
    main = result.main_attack
    return {
        "version": VERSION,
        "verdict": verdict(result),
        "in_people": in_people(result),
        "finding": finding(result),
        "remarks": remarks(result),
        "main": main.name,
        "non_members": int((~main.scores.member).sum(axis=0).min()),
        "members": int(main.scores.member.sum(axis=0).min()),
        "curves": {attack.name: mean_curve(attack) for attack in result.attacks},
        "histograms": {attack.name: histogram(attack) for attack in result.attacks},
        "records": exposed_table(result),
    }


def mean_curve(attack: AttackResult) -> dict[str, list[float | None]]:
    """The mean over targets of TPR and threshold at rising FPRs, with the 95 % band of `roc_band`.

    The band is computed at every fourth rate and drawn straight in between. A threshold is the mean over targets of
    the lowest score that is called a member at that rate.
    """
    member = attack.scores.member
    grid = rates(int((~member).sum(axis=0).min()))
    targets = range(member.shape[1])
    tpr = np.stack([step_tpr(*curve(attack, t), grid) for t in targets])
    low, high = _band(attack, grid, tpr.mean(axis=0))
    thresholds: Float[np.ndarray, " points"] = np.full(len(grid), np.nan)
    if len(member) <= MOST_SCORES:
        thresholds = np.mean([_thresholds(attack.scores.values[:, t], member[:, t], grid) for t in targets], axis=0)
    return {
        "fpr": _plain(grid),
        "tpr": _plain(tpr.mean(axis=0)),
        "low": _plain(low),
        "high": _plain(high),
        "threshold": _plain(thresholds),
    }


def rates(non_members: int) -> Float[np.ndarray, " points"]:
    """False-positive rates of which a half are spread evenly and a half evenly on a logarithmic scale."""
    steps = np.concatenate(
        [np.linspace(0, non_members, POINTS // 2), np.geomspace(1, non_members, POINTS // 2)]
    ).round()
    fprs: Float[np.ndarray, " points"] = np.unique(steps) / non_members
    return fprs


def clusters_of(member: Bool[np.ndarray, "examples targets"]) -> Int64[np.ndarray, " targets"]:
    """Targets with nearly the same, or nearly opposite, members are no independent draws."""
    signs = np.where(member[:ROWS_FOR_CLUSTERS], np.float32(1), np.float32(-1))
    linked = np.abs(signs.T @ signs) > DEPENDENT * len(signs)
    return dependent_targets(~linked, np.arange(len(linked)))


def _band(
    attack: AttackResult, grid: Float[np.ndarray, " points"], tpr: Float[np.ndarray, " points"]
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    some = np.union1d(np.arange(0, len(grid), EVERY), [len(grid) - 1])
    clusters = clusters_of(attack.scores.member)
    ends = roc_band(attack.scores, clusters, grid[some], lambda t, fprs: step_tpr(*curve(attack, t), fprs))
    widths = [np.nan_to_num(np.abs(end - tpr[some])) for end in ends]
    below, above = (np.interp(grid, grid[some], width) for width in widths)
    return np.clip(tpr - below, 0, 1), np.clip(tpr + above, 0, 1)


def _thresholds(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"], grid: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    others = np.sort(scores[~member])[::-1]
    allowed = np.minimum(np.floor(grid * len(others) * (1 + 1e-12)).astype(int), len(others) - 1)
    thresholds: Float[np.ndarray, " points"] = others[allowed]
    return thresholds


def histogram(attack: AttackResult) -> dict[str, list[float]]:
    """Share of members and of non-members per bin of the score, of all targets; the outer tenth is in the end bins."""
    values, member = attack.scores.values, attack.scores.member
    step = max(1, values.size // MOST_SCORES)
    some, of = values[::step], member[::step]
    finite = some[np.isfinite(some)]
    low, high = np.quantile(finite, [0.05, 0.95]) if finite.size else (0.0, 1.0)
    # edges that differ in what an axis writes of them; of a single score in one unit
    narrowest = max(LEAST_RANGE, RELATIVE_RANGE * max(abs(low), abs(high)))
    edges = np.linspace(low, max(high, low + narrowest) if high > low else low + max(1.0, narrowest), BINS + 1)
    inside = np.clip(some, edges[0], edges[-1])
    shares = [np.histogram(inside[side], edges)[0] / max(1, int(side.sum())) for side in (of, ~of)]
    return {"edges": edges.tolist(), "members": shares[0].tolist(), "non_members": shares[1].tolist()}


def exposed_table(result: AuditResult) -> dict[str, Any]:
    """The most exposed records: columns with their headings, rows, and pictures or values of each."""
    main, records = result.main_attack.name, result.records
    named = {
        "id": "record",
        "label": "class",
        "p_value": "p-value",
        "at_risk": "at risk",
        "d_prime": "d′",
        f"{main}_rank": "rank",
        f"{main}_caught_at_1pct": "caught",
        f"{main}_mean_in": "mean IN",
        f"{main}_mean_out": "mean OUT",
    }
    columns = [name for name in named if name in records]
    rows = most_exposed(records, main)
    cut = {name: records[name][rows].tolist() for name in columns}
    table = [[_cell(cut[name][row]) for name in columns] for row in range(len(rows))]
    pictures, values = _looks(result, records["id"][rows].tolist())
    return {
        "headings": [named[name] for name in columns],
        "rows": table,
        "pictures": pictures,
        "values": values,
        "total": len(records["id"]),
        "at_risk": int(np.sum(records["at_risk"])) if "at_risk" in records and not untestable(result) else None,
    }


def _looks(result: AuditResult, ids: list[Any]) -> tuple[list[str | None], list[str | None]]:
    """A picture of every record that is an image, the first values of every other one; None where x is not known."""
    known = dict(zip(result.exposed["id"].tolist(), result.exposed["x"], strict=True)) if result.exposed else {}
    pictures: list[str | None] = []
    values: list[str | None] = []
    for record in ids:
        x = known.get(record)
        image = x is not None and x.ndim == 3 and x.dtype == np.uint8
        pictures.append(thumbnail(x) if image and x is not None else None)
        values.append(_values(x) if x is not None and not image else None)
    return pictures, values


def thumbnail(x: np.ndarray) -> str:
    """An image [channels, height, width] of 8 bits as a data: address."""
    picture = np.moveaxis(x, 0, 2)
    buffer = io.BytesIO()
    Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _values(x: np.ndarray) -> str:
    flat = np.asarray(x).reshape(-1)
    more = f", ... ({len(flat)} values)" if len(flat) > MOST_VALUES else ""
    return ", ".join(f"{value:.4g}" for value in flat[:MOST_VALUES]) + more


def _cell(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values.tolist()]
