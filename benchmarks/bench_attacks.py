"""How fast the attacks are, beside dense or looped NumPy twins in the same process.

    python benchmarks/bench_attacks.py [--quick]

Prints three tables: RMIA against the dense records x population form, all-target attacks against a loop
over targets, and how cost grows with models and records. Signals are random; cost does not depend on
what they say. BLAS threads are left as they are: set OMP_NUM_THREADS to compare machines.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from raymeter.attacks import base_scores, calibrated_scores, empirical_scores, lira_scores, loss_scores, rmia_scores
from raymeter.attacks.rmia import rmia_grid
from raymeter.schema import SignalMatrix
from raymeter.training.split import pair_reference

GRID = tuple(step / 10 for step in range(11))


def signals(kind: str, records: int, models: int, queries: int, seed: int = 0) -> SignalMatrix:
    """Random signals of complementary pairs, every model a target."""
    rng = np.random.default_rng(seed)
    half = rng.random((records, models // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(records, models)
    values = rng.standard_normal((records, models, queries), dtype=np.float32)
    values += member[:, :, None]
    if kind == "log_prob":
        values = -np.logaddexp(np.float32(0), -values)
    return SignalMatrix(kind, values, member, pair_reference(models))


def population(like: SignalMatrix, points: int) -> SignalMatrix:
    """Random records that no model was trained on."""
    models, queries = like.values.shape[1:]
    values = signals(like.kind, points, models, queries, seed=1).values
    return SignalMatrix(like.kind, values, np.zeros((points, models), dtype=bool), like.reference)


def narrow(matrix: SignalMatrix, target: int) -> SignalMatrix:
    """The same signals with one target."""
    return replace(matrix, reference=matrix.reference[[target]], targets=matrix.targets[[target]])


def measure(repeats: int, work: Callable[..., object], *args: object) -> tuple[float, float]:
    """Best seconds of some runs, and the peak of memory allocated during one more run, in MiB."""
    best = seconds(repeats, work, *args)
    tracemalloc.start()
    work(*args)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return best, peak


def seconds(repeats: int, work: Callable[..., object], *args: object) -> float:
    """Best seconds of some runs."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        work(*args)
        best = min(best, time.perf_counter() - start)
    return best


def dense_rmia(audit: SignalMatrix, outside: SignalMatrix, grid: tuple[float, ...]) -> np.ndarray:
    """The count form as it is written in the paper: every record against every population point, for one target."""
    target = int(audit.targets[0])
    judges = audit.reference[0]
    p_x, p_z = np.exp(audit.values[:, :, 0].astype(np.float64)), np.exp(outside.values[:, :, 0].astype(np.float64))
    out = ~audit.member[:, judges]
    mean_x = np.where(out, p_x[:, judges], 0).sum(axis=1) / out.sum(axis=1)
    mean_z = p_z[:, judges].mean(axis=1)
    result = np.empty((len(grid), len(p_x)))
    for i, a in enumerate(grid):
        ratio_x = p_x[:, target] / (((1 + a) * mean_x + 1 - a) / 2)
        ratio_z = p_z[:, target] / (((1 + a) * mean_z + 1 - a) / 2)
        for start in range(0, len(ratio_x), 1000):
            block = ratio_x[start : start + 1000, None] / ratio_z[None, :]
            result[i, start : start + 1000] = (block > 1.0).mean(axis=1)
    return result


def looped_lira(audit: SignalMatrix) -> np.ndarray:
    """Per-sample LiRA as the published scripts have it: a loop over targets and records, NumPy inside."""
    records, models, queries = audit.values.shape
    result = np.empty((records, len(audit.targets)))
    for t, target in enumerate(audit.targets):
        judges = audit.reference[t]
        for record in range(records):
            inside, outside = audit.member[record] & judges, ~audit.member[record] & judges
            own, sample = audit.values[record, target], audit.values[record].astype(np.float64)
            score = 0.0
            for side, sign in ((inside, 1), (outside, -1)):
                mean, sd = sample[side].mean(axis=0), sample[side].std(axis=0) + 1e-12
                score += sign * float((-0.5 * ((own - mean) / sd) ** 2 - np.log(sd)).sum())
            result[record, t] = score
    return result


def against_dense(records: int, points: int, repeats: int) -> None:
    audit = narrow(signals("log_prob", records, 64, 1), 0)
    outside = population(audit, points)
    slow = [np.inf, None]

    def dense() -> np.ndarray:
        slow[1] = dense_rmia(audit, outside, GRID)
        return slow[1]

    slow_seconds = seconds(1, dense)
    print(f"\n### RMIA, {records} records x {points} population x {len(GRID)} values of a, one target of 64 models\n")
    print("| form | seconds | times faster than dense |\n|---|---|---|")
    print(f"| dense count (NumPy, blocks of 1,000 records) | {slow_seconds:.2f} | 1 |")
    for form in ("count", "log_ratio"):
        quick = seconds(repeats, partial(rmia_grid, form=form), audit, outside, GRID)
        print(f"| raymeter {form} | {quick:.3f} | {slow_seconds / quick:.0f} |")
    got = rmia_grid(audit, outside, GRID, form="count")[:, :, 0]
    print(f"\nlargest difference of the count from the dense form: {np.abs(got - slow[1]).max():.1e}")


ATTACKS: dict[str, tuple[str, Callable[[SignalMatrix, SignalMatrix], object]]] = {
    "loss": ("log_prob", lambda audit, outside: loss_scores(audit)),
    "calibrated": ("logit_gap", lambda audit, outside: calibrated_scores(audit)),
    "empirical": ("logit_gap", lambda audit, outside: empirical_scores(audit)),
    "lira nig": ("logit_gap", lambda audit, outside: lira_scores(audit, variance="nig")),
    "lira per_sample": ("logit_gap", lambda audit, outside: lira_scores(audit, variance="per_sample")),
    "rmia offline": ("log_prob", rmia_scores),
    "rmia online": ("log_prob", lambda audit, outside: rmia_scores(audit, outside, mode="online")),
    "rmia count": ("log_prob", lambda audit, outside: rmia_scores(audit, outside, form="count")),
    "rmia tuned": ("log_prob", lambda audit, outside: rmia_scores(audit, outside, offline_a="tuned")),
    "base online": ("log_prob", lambda audit, outside: base_scores(audit)),
}


def all_targets(records: int, models: int, queries: int, points: int, repeats: int) -> None:
    print(f"\n### All {models} targets, {records} records, {queries} queries, {points} population\n")
    size = records * models * queries * 4 / 2**20
    print(f"signal array: {size:.0f} MiB\n\n| attack | seconds | peak memory / signal array |\n|---|---|---|")
    for kind in ("log_prob", "logit_gap"):
        audit = signals(kind, records, models, queries)
        outside = population(audit, points)
        for name, (needs, attack) in ATTACKS.items():
            if needs == kind:
                best, memory = measure(repeats, attack, audit, outside)
                print(f"| {name} | {best:.2f} | {memory / size:.2f} |")
    few = max(20, records // 1000)
    audit = signals("logit_gap", few, models, queries)
    slow = seconds(1, looped_lira, audit)
    quick = seconds(repeats, partial(lira_scores, variance="per_sample"), audit)
    print(
        f"\nLiRA per_sample, {few} records: looped {slow:.2f} s, raymeter {quick:.4f} s ({slow / quick:.0f} times less)"
    )


def growth(cases: list[tuple[int, int]], repeats: int) -> None:
    print("\n### Growth, 1 query, all targets\n")
    print("| records | models | lira nig | rmia offline | lira: ns per record x model x target |")
    print("|---|---|---|---|---|")
    for records, models in cases:
        gaps = signals("logit_gap", records, models, 1)
        lira = seconds(repeats, lira_scores, gaps)
        logs = replace(gaps, kind="log_prob", values=-np.logaddexp(np.float32(0), -gaps.values))
        outside = population(logs, 10_000)
        rmia = seconds(repeats, rmia_scores, logs, outside)
        per_cell = 1e9 * lira / (records * models * models)
        print(f"| {records} | {models} | {lira:.2f} s | {rmia:.2f} s | {per_cell:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    quick = parser.parse_args().quick
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}")
    if quick:
        against_dense(2000, 500, 1)
        all_targets(2000, 16, 2, 500, 1)
        growth([(1000, 16), (10_000, 16)], 1)
        return
    against_dense(50_000, 10_000, 5)
    all_targets(50_000, 64, 2, 10_000, 2)
    growth([(10_000, 16), (10_000, 64), (10_000, 256), (100_000, 16), (100_000, 64), (1_000_000, 16)], 1)


if __name__ == "__main__":
    main()
