"""How long the statistics of one audit take: metrics, thresholds, comparisons, ranks and bands of many records.

    python benchmarks/bench_statistics.py [--records 1500000] [--targets 16] [--attacks 3] [--profile]

Scores are random and rise for members; every target is one half of a complementary pair. Each row is one call as
`raymeter.analysis.result` makes it, seconds once. A digest of the figures tells whether two versions agree.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import platform
import pstats
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from raymeter.report.page.data import mean_curve
from raymeter.schema import Scores
from raymeter.stats import compare_attacks, compare_thresholds, group_metrics, pooled_auc, rank_intervals, summarise
from raymeter.training.split import pair_reference

FPRS = (0.01, 0.001)


def made(records: int, targets: int, attacks: int) -> list[Scores]:
    """Scores of some attacks on complementary pairs, target by target; later attacks are stronger."""
    rng = np.random.default_rng(0)
    half = rng.random((records, targets // 2)) < 0.5
    member = np.asfortranarray(np.stack([half, ~half], axis=2).reshape(records, targets))
    common = rng.standard_normal((records, targets))
    return [
        Scores(
            f"attack_{number}",
            np.asfortranarray(common + rng.standard_normal((records, targets)) + 0.2 * (number + 1) * member),
            member,
            np.arange(records),
            np.arange(targets),
        )
        for number in range(attacks)
    ]


def numbers(found: Any) -> Iterator[float]:
    """Every number of a result, in order."""
    if isinstance(found, dict):
        for value in found.values():
            yield from numbers(value)
    elif isinstance(found, list | tuple):
        for value in found:
            yield from numbers(value)
    elif isinstance(found, np.ndarray):
        yield float(np.nansum(found)) if found.dtype.kind in "fiub" else 0.0
    elif isinstance(found, float | int):
        yield float(found)
    elif isinstance(found, Scores):
        return
    elif hasattr(found, "__dataclass_fields__"):
        for name in found.__dataclass_fields__:
            yield from numbers(getattr(found, name))


def calls(scores: list[Scores], groups: np.ndarray) -> dict[str, Callable[[], Any]]:
    """The calls of one audit by what they are for."""
    targets = scores[0].values.shape[1]
    reference, clusters = pair_reference(targets), np.repeat(np.arange(targets // 2), 2)
    transferred = np.full((targets, len(FPRS)), 3.0)
    first = summarise(scores[:1], reference, None)[0][0] if len(scores[0].values) < 10_000_000 else None
    work: dict[str, Callable[[], Any]] = {
        "summarise": lambda: [(a.targets, a.auc, a.tpr_at_fpr) for a in summarise(scores, reference, None)[0]],
        "compare_thresholds": lambda: [compare_thresholds(s, transferred, FPRS, clusters) for s in scores],
        "compare_attacks": lambda: compare_attacks(scores, clusters),
        "pooled_auc": lambda: [pooled_auc(s) for s in scores],
        "rank_intervals (first attack)": lambda: rank_intervals(scores[0], clusters, 0),
        "group_metrics (ten groups, first attack)": lambda: group_metrics(scores[0], groups, clusters, 0),
    }
    if first is not None:
        work["mean_curve of the page (first attack)"] = lambda: mean_curve(first)
    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=1_500_000)
    parser.add_argument("--targets", type=int, default=16)
    parser.add_argument("--attacks", type=int, default=3)
    parser.add_argument("--only", help="a part of the name of the calls to make")
    parser.add_argument("--profile", action="store_true", help="where the time of each call goes, without threads")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}")
    print(f"{options.records:,} records, {options.targets} targets, {options.attacks} attacks\n")
    print("| call | seconds | sum of its figures |\n|---|---|---|")
    scores = made(options.records, options.targets, options.attacks)
    groups = np.random.default_rng(1).integers(0, 10, options.records)
    for name, call in calls(scores, groups).items():
        if options.only and options.only not in name:
            continue
        profile = cProfile.Profile()
        if options.profile:
            os.cpu_count = lambda: 1  # type: ignore[assignment]  # cProfile sees one thread
            profile.enable()
        start = time.perf_counter()
        found = call()
        took = time.perf_counter() - start
        profile.disable()
        print(f"| {name} | {took:.1f} | {sum(numbers(found)):.12g} |", flush=True)
        if options.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    main()
