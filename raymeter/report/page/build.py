"""report/index.html: the whole report as one page that opens from disk and fetches nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from raymeter.attacks import ATTACKS
from raymeter.errors import StoreError
from raymeter.report.data_files import File, plain, write_metrics
from raymeter.report.page import charts
from raymeter.report.page.data import MOST_RECORDS, VERSION, page_data
from raymeter.report.page.templates import included, render
from raymeter.schema.results import AuditResult
from raymeter.stats import PRIORS

STATISTICS = (
    "AUC intervals: DeLong et al., Biometrics 44 (1988), per target; Student's t over independent targets for means.",
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
    script = str(included("report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    attacks = metrics["attacks"]
    provenance = metrics.get("provenance", {})
    names = {_name(label, provenance.get("config", {})) for label in attacks}
    power = {name: points for name, points in (metrics.get("power") or {}).items() if len(points) > 1}
    points = [point for each in power.values() for point in each]
    rates = list(next(iter(attacks.values()))["tpr_at_fpr"])
    return render(
        "report.html",
        script=included("report.js"),
        digest=digest,
        data=data,
        attacks=attacks,
        rates=rates,
        resolvable_rates=[
            rate for rate in rates if all(each["tpr_at_fpr"][rate]["resolvable"] for each in attacks.values())
        ],
        has_bands=any(low is not None for each in data["curves"].values() for low in each["low"]),
        comparisons=metrics.get("comparisons") or [],
        rocs=[charts.roc_chart(data["curves"], data["non_members"], log) for log in (False, True)],
        histograms={name: charts.histogram_chart(each) for name, each in data["histograms"].items()},
        power=power,
        power_fpr=points[0]["fpr"] if points else None,
        power_resolvable=all(point["resolvable"] for point in points),
        charts=charts,
        looks=charts.looks(list(attacks)),
        groups={name: table for name, table in (metrics.get("groups") or {}).items() if name != "attack"},
        blind=metrics.get("blind_baseline"),
        timings=metrics.get("timings") or {},
        provenance=provenance,
        dataset=(provenance.get("dataset") or {}).get("name"),
        config=yaml.safe_dump(provenance.get("config", {}), sort_keys=False, allow_unicode=True),
        attempts=[each for each in timeline["attempts"] if each.get("outcome") not in DONE]
        if "attempts" in timeline
        else None,
        methods=[attack.source for name, attack in ATTACKS.items() if name in names],
        statistics=STATISTICS,
        limits=LIMITS,
        most=MOST_RECORDS,
        priors=PRIORS,
        pointing=pointing(data),
    )


def _name(label: str, config: Mapping[str, Any]) -> str:
    """Which attack a label means: as the configuration says, else as far as the label tells."""
    entries = config.get("audit", {}).get("attacks") or []
    said = {entry.get("label", entry["name"]): entry["name"] for entry in entries if "name" in entry}
    return said.get(label) or next((name for name in ATTACKS if label == name or label.startswith(f"{name}_")), label)


def pointing(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's script needs to tell the point of a curve that is pointed at."""
    frame = [charts.WIDTH, charts.HEIGHT, charts.LEFT, charts.RIGHT, charts.TOP, charts.BOTTOM]
    return {
        "curves": data["curves"],
        "colours": [look["colour"] for look in charts.looks(list(data["curves"])).values()],
        "priors": PRIORS,
        "frame": frame,
        "lowest": 1 / (2 * data["non_members"]),
    }
