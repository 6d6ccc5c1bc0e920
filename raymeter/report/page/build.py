"""report/index.html: the whole report as one page that opens from disk and fetches nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from raymeter.analysis.record_exposure import MOST_SHOWN
from raymeter.attacks import ATTACKS
from raymeter.errors import StoreError
from raymeter.report.data_files import File, plain, write_metrics
from raymeter.report.page import charts
from raymeter.report.page.data import VERSION, page_data
from raymeter.report.page.templates import included, render
from raymeter.schema.results import AuditResult
from raymeter.stats import PRIORS

STATISTICS = (
    "AUC intervals: DeLong et al., Biometrics 44 (1988), per target; means: variance by records and by trainings.",
    "TPR at a fixed FPR: the step rule, no interpolation. A rate that allows less than one false positive is reported "
    "as not resolvable.",
    "Records at risk: Benjamini and Hochberg, JRSS B 57 (1995), at a false discovery rate of 5 %.",
    "Transferred thresholds are learnt from other models and never from the target's own members.",
)
LIMITS = (
    "An audit measures these attacks, with this many reference models: a lower bound of what leaks. Stronger attacks "
    "may find more.",
    "It holds for this training procedure on this data. Another model, more epochs or fewer records leak differently.",
    "A record that is not named is not necessarily safe.",
    "Membership is one kind of leakage; reconstruction and attribute inference are others.",
)
DONE = ("done", "done elsewhere")


def write_page(result: AuditResult) -> Iterator[File]:
    """page.json, what the page needs beyond metrics.json, and index.html."""
    data = plain(page_data(result))
    yield "page.json", (json.dumps(data, allow_nan=False) + "\n").encode()
    metrics = json.loads(bytes(next(iter(write_metrics(result)))[1]))
    timeline = plain(result.timeline)
    yield "index.html", index_page(metrics, data, timeline).encode()


def index_page(metrics: Mapping[str, Any], data: Mapping[str, Any], timeline: Mapping[str, Any]) -> str:
    """The page from stored results.

    Args:
        metrics: metrics.json.
        data: page.json.
        timeline: timeline.json; may be empty.

    Raises:
        StoreError: page.json is of another version.
    """
    if data.get("version") != VERSION:
        raise StoreError("page.json was written by another version of raymeter; run the audit again, models are reused")
    attacks = metrics["attacks"]
    provenance = metrics.get("provenance", {})
    names = {attack_name(label, provenance.get("config", {})) for label in attacks}
    rates = list(next(iter(attacks.values()))["tpr_at_fpr"])
    return render(
        "report.html",
        **_script(),
        **_charts(data, list(attacks)),
        **_power(metrics.get("power") or {}),
        data=data,
        attacks=attacks,
        rates=rates,
        resolvable_rates=[
            rate for rate in rates if all(attack["tpr_at_fpr"][rate]["resolvable"] for attack in attacks.values())
        ],
        comparisons=metrics.get("comparisons") or [],
        groups={name: table for name, table in (metrics.get("groups") or {}).items() if name != "attack"},
        blind=metrics.get("blind_baseline"),
        timings=metrics.get("timings") or {},
        provenance=provenance,
        dataset=(provenance.get("dataset") or {}).get("name"),
        config=yaml.safe_dump(provenance.get("config", {}), sort_keys=False, allow_unicode=True),
        attempts=_failed_attempts(timeline),
        methods=[attack.source for name, attack in ATTACKS.items() if name in names],
        statistics=STATISTICS,
        limits=LIMITS,
        most=MOST_SHOWN,
        priors=PRIORS,
        pointing=pointing(data),
    )


def _script() -> dict[str, Any]:
    """The page's own script, and the hash by which its policy allows it."""
    script = included("report.js")
    digest = base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode()
    return {"script": script, "digest": digest}


def _charts(data: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """Curves and histograms of page.json as coordinates, and the look of every attack in them."""
    return {
        "charts": charts,
        "looks": charts.looks(labels),
        "has_bands": any(low is not None for curve in data["curves"].values() for low in curve["low"]),
        "rocs": [charts.roc_chart(data["curves"], data["non_members"], log) for log in (False, True)],
        "histograms": {label: charts.histogram_chart(shares) for label, shares in data["histograms"].items()},
    }


def _power(power: Mapping[str, Any]) -> dict[str, Any]:
    """The power curves that have two points or more, their FPR, and whether it can be resolved."""
    curves = {label: points for label, points in power.items() if len(points) > 1}
    points = [point for curve in curves.values() for point in curve]
    return {
        "power": curves,
        "power_fpr": points[0]["fpr"] if points else None,
        "power_resolvable": all(point["resolvable"] for point in points),
    }


def _failed_attempts(timeline: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """None where the timeline does not say."""
    if "attempts" not in timeline:
        return None
    return [attempt for attempt in timeline["attempts"] if attempt.get("outcome") not in DONE]


def attack_name(label: str, config: Mapping[str, Any]) -> str:
    """Which attack a label means: as the configuration says, else as the label itself suggests."""
    entries = config.get("audit", {}).get("attacks") or []
    name_of = {entry.get("label", entry["name"]): entry["name"] for entry in entries if "name" in entry}
    begins = [name for name in ATTACKS if label == name or label.startswith(f"{name}_")]
    return name_of.get(label) or max(begins, key=len, default=label)


def pointing(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's script needs to show the point of a curve that is pointed at."""
    frame = [charts.WIDTH, charts.HEIGHT, charts.LEFT, charts.RIGHT, charts.TOP, charts.BOTTOM]
    return {
        "curves": data["curves"],
        "colours": [look["colour"] for look in charts.looks(list(data["curves"])).values()],
        "priors": PRIORS,
        "frame": frame,
        "lowest": 1 / (2 * data["non_members"]),
    }
