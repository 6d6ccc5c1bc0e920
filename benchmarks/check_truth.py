"""Does what a report says hold? Coverage of intervals, names on nothing, and tests of groups, on simulated audits.

    python benchmarks/check_truth.py means [--repetitions 400]     intervals of means over targets
    python benchmarks/check_truth.py halves                        the same on real digits, made-up members, halves
    python benchmarks/check_truth.py few                           the AUC of one target with few members
    python benchmarks/check_truth.py records                       records named at risk
    python benchmarks/check_truth.py groups                        p-values of groups
    python benchmarks/check_truth.py verdicts                      audits of nothing that are called a leak

Every repetition draws records and trainings anew. Each line gives what was asked for with its figure; a Monte-Carlo
error of 400 repetitions is 1.1 % at 95 %.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from sklearn.datasets import load_digits

from raymeter import SignalMatrix
from raymeter.analysis.evidence import chance_at, resolvable_rates
from raymeter.analysis.leak_test import leak_p_values
from raymeter.attacks import calibrated_scores, lira_scores, loss_scores, rmia_scores
from raymeter.report.verdict import finding
from raymeter.schema import Scores
from raymeter.schema.results import AuditResult
from raymeter.stats import (
    auc,
    auc_figure,
    auc_interval,
    benjamini_hochberg,
    group_metrics,
    mean_over_targets,
    summarise,
    tpr_figure,
)
from raymeter.stats.figures import figures_of

ATTACKS = ("loss", "calibrated", "lira", "lira_offline", "rmia")
PAIRS = (2, 4, 8, 16)


def pairs(records: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Memberships of complementary pairs."""
    half = np.stack([rng.permutation(records) < records // 2 for _ in range(count)], axis=1)
    return np.stack([half, ~half], axis=2).reshape(records, 2 * count)


def log_sigmoid(gap: np.ndarray) -> np.ndarray:
    """log p of a logit gap."""
    return -np.logaddexp(0, -gap)


def attacked(gaps: np.ndarray, member: np.ndarray, outside: np.ndarray) -> Iterator[Scores]:
    """Scores of every attack on the signals of one audit."""
    single = gaps.astype(np.float32)[:, :, None]
    gap = SignalMatrix("logit_gap", single, member)
    log_p = SignalMatrix("log_prob", log_sigmoid(single.astype(np.float64)).astype(np.float32), member)
    z = log_sigmoid(outside).astype(np.float32)[:, :, None]
    population = SignalMatrix("log_prob", z, np.zeros(outside.shape, dtype=bool), gap.reference)
    yield loss_scores(log_p)
    yield calibrated_scores(gap)
    yield lira_scores(gap)
    yield lira_scores(gap, mode="offline")
    yield rmia_scores(log_p, population)


def simulated(records: int, count: int, leak: float, rng: np.random.Generator) -> Iterator[Scores]:
    """Records of differing hardness and leak under models of fresh trainings, and a population."""
    member, models = pairs(records, count, rng), 2 * count
    gaps = rng.normal(2, 1.5, (records, 1)) + rng.normal(size=(records, models))
    gaps = gaps + leak * np.exp(rng.normal(-0.32, 0.8, (records, 1))) * member
    outside = rng.normal(2, 1.5, (300, 1)) + rng.normal(size=(300, models))
    yield from attacked(gaps, member, outside)


def figures(scores: Scores) -> dict[str, tuple[float, float, float]]:
    """AUC and TPRs of the mean over targets, with their intervals."""
    clusters = np.repeat(np.arange(scores.values.shape[1] // 2), 2)
    made = {"auc": mean_over_targets(figures_of(auc_figure, scores), clusters)}
    for fpr in (0.1, 0.01):
        made[f"tpr@{fpr}"] = mean_over_targets(figures_of(lambda v, m, f=fpr: tpr_figure(v, m, f), scores), clusters)
    return {name: (mean.estimate, mean.low, mean.high) for name, mean in made.items()}


def bootstrap_width(scores: Scores, rng: np.random.Generator, draws: int = 200) -> float:
    """Width of the percentile interval of the mean AUC where records and pairs are both drawn with replacement."""
    records, targets = scores.values.shape
    count, means = targets // 2, []
    for _ in range(draws):
        rows = rng.integers(0, records, records)
        chosen = (2 * rng.integers(0, count, count)[:, None] + np.arange(2)).ravel()
        means.append(np.mean([auc(scores.values[rows, t], scores.member[rows, t]) for t in chosen]))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(high - low)


def means(repetitions: int) -> None:
    """Coverage of every mean's interval, false alarms without a leak, and widths next to the two-way bootstrap's."""
    print("leak pairs attack        figure    truth   covered  low>0.5  width / two-way bootstrap's")
    for leak in (0.0, 0.5, 2.0):
        for count in PAIRS:
            rng, found, widths = np.random.default_rng([int(10 * leak), count]), {}, {}
            for repetition in range(repetitions):
                for scores, name in zip(simulated(300, count, leak, rng), ATTACKS, strict=True):
                    for figure, values in figures(scores).items():
                        found.setdefault((name, figure), []).append(values)
                    if repetition < 10:
                        low, high = found[name, "auc"][-1][1:]
                        widths.setdefault(name, []).append((high - low, bootstrap_width(scores, rng)))
            for (name, figure), rows in found.items():
                estimate, low, high = np.array(rows).T
                truth = 0.5 if leak == 0 and figure == "auc" else estimate.mean()
                covered = ((low <= truth) & (truth <= high)).mean()
                alarm = f"{(low > 0.5).mean():7.3f}" if leak == 0 and figure == "auc" else "       "
                ratio = np.mean(widths[name], axis=0) if figure == "auc" else None
                told = f"{ratio[0] / ratio[1]:.2f}" if ratio is not None else ""
                print(
                    f"{leak:4.1f} {count:5d} {name:13s} {figure:9s} {truth:.4f}  {covered:7.3f}  {alarm}  {told}",
                    flush=True,
                )


def halves(repetitions: int) -> None:
    """Real digits: signals of logistic regressions by their own records, made-up members, and records in two halves."""
    x, y = load_digits(return_X_y=True)
    print("kind           pairs attack        figure    covered")
    for leak in (0.0, 2.0):
        for count in (2, 4, 8):
            rng, inside = np.random.default_rng([int(leak), count]), {}
            signals = digit_signals(x, y, 2 * count, rng)
            for _ in range(repetitions):
                chosen = rng.permutation(len(y))[:800]
                member = pairs(800, count, rng)
                gaps = signals[chosen] + leak * member + rng.normal(0, 0.3, (800, 2 * count))
                outside = signals[rng.permutation(len(y))[:300]]
                both = [list(attacked(gaps[rows], member[rows], outside)) for rows in (slice(0, 400), slice(400, 800))]
                for first, second, name in zip(*both, ATTACKS, strict=True):
                    for (figure, a), (_, b) in zip(figures(first).items(), figures(second).items(), strict=True):
                        half = np.hypot((a[2] - a[1]) / 2, (b[2] - b[1]) / 2)
                        inside.setdefault((name, figure), []).append(abs(a[0] - b[0]) <= half)
            for (name, figure), rows in inside.items():
                print(f"halves leak {leak:3.1f} {count:5d} {name:13s} {figure:9s} {np.mean(rows):.3f}", flush=True)


def digit_signals(x: np.ndarray, y: np.ndarray, models: int, rng: np.random.Generator) -> np.ndarray:
    """Logit gaps of the digits under classifiers of random thirds of them: real hardness, real disagreement."""
    from sklearn.linear_model import LogisticRegression

    made = np.empty((len(y), models))
    for model in range(models):
        rows = rng.permutation(len(y))[: len(y) // 3]
        p = LogisticRegression(C=0.1, max_iter=200).fit(x[rows] / 16, y[rows]).predict_proba(x / 16)
        own = p[np.arange(len(y)), y].clip(1e-9, 1 - 1e-9)
        made[:, model] = np.log(own) - np.log1p(-own)
    return made


def few(repetitions: int) -> None:
    """Coverage of the AUC of one target with few members or non-members, high areas, heavy tails and ties."""

    def draw(kind: str, shift: float, n1: int, n0: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        a, b = rng.normal(shift, 1, n1), rng.normal(size=n0)
        if kind == "unequal":
            a = shift + 3 * (a - shift)
        if kind == "heavy":
            a, b = shift + rng.standard_t(2, n1), rng.standard_t(2, n0)
        if kind == "levels":
            a, b = (np.digitize(side, [-0.5, 1.5]).astype(float) for side in (a, b))
        if kind == "saturated":
            a, b = np.minimum(a, 1.0), np.minimum(b, 1.0)
        return np.concatenate([a, b]), np.arange(n1 + n0) < n1

    sizes = ((5, 500), (500, 5), (15, 15), (20, 400), (30, 3000), (300, 300))
    print("scores     shift AUC     " + "  ".join(f"{n1}/{n0:<8d}" for n1, n0 in sizes))
    for kind in ("normal", "unequal", "heavy", "levels", "saturated"):
        for shift in (0.0, 1.0, 3.0, 4.5):
            rng = np.random.default_rng([int(10 * shift), 1])
            truth, line = auc(*draw(kind, shift, 500_000, 500_000, rng)), []
            for n1, n0 in sizes:
                found = [auc_interval(*draw(kind, shift, n1, n0, rng)) for _ in range(repetitions)]
                covered = np.mean([interval.low <= truth <= interval.high for interval in found])
                line.append(f"{covered:.3f} ({np.mean([i.high - i.low for i in found]):.3f})")
            print(f"{kind:10s} {shift:4.1f}  {truth:.4f}  {'  '.join(line)}", flush=True)


KINDS: dict[str, Callable[[int, int, np.random.Generator], np.ndarray]] = {
    "normal": lambda n, m, rng: rng.normal(size=(n, m)),
    "heavy": lambda n, m, rng: rng.standard_t(2, (n, m)),
    "unequal": lambda n, m, rng: rng.normal(size=(n, m)) * np.exp(rng.normal(size=(n, 1))),
    "two levels": lambda n, m, rng: np.where(rng.random((n, m)) < 0.5, -3, 3) + 0.1 * rng.normal(size=(n, m)),
    "rare": lambda n, m, rng: np.where(rng.random((n, m)) < 0.15, -6, 0) + 0.3 * rng.normal(size=(n, m)),
    "model levels": lambda n, m, rng: rng.normal(size=(n, m)) + rng.normal(0, 3, (1, m)),
    "bad model": lambda n, m, rng: rng.normal(size=(n, m)) - 15 * (np.arange(m) == 0),
    "two bad": lambda n, m, rng: rng.normal(size=(n, m)) - 15 * np.isin(np.arange(m), (0, 2)),
    "copies": lambda n, m, rng: np.repeat(rng.normal(size=(n // 10, m)), 10, axis=0),
    "clipped": lambda n, m, rng: 2 * rng.normal(size=(n, m)),
}


def records(repetitions: int) -> None:
    """Records named at risk without a leak, and with one in a tenth of them: false discoveries, power, Student's t."""
    print("models signals       anyone named: t, now   leak in 40 of 400, found: t, now   false discoveries: t, now")
    for models in (4, 8, 16):
        for kind, noise in KINDS.items():
            rng, named, found, false = np.random.default_rng(models), [], [], []
            for repetition in range(repetitions):
                member, n = pairs(400, models // 2, rng), 400
                gaps = rng.normal(2, 1.5, (n, 1)) + noise(n, models, rng)
                gaps = np.minimum(gaps, 3.0) if kind == "clipped" else gaps
                named.append([way(gaps, member, repetition).any() for way in (by_t, by_relabelling)])
                leaks = rng.permutation(n) < n // 10
                leaking = gaps + rng.choice([2.0, 4.0, 8.0]) * (member & leaks[:, None])
                both = [way(leaking, member, repetition) for way in (by_t, by_relabelling)]
                found.append([(names & leaks).sum() for names in both])
                false.append([(names & ~leaks).sum() / max(1, names.sum()) for names in both])
            any_t, any_now = np.mean(named, axis=0)
            (found_t, found_now), (false_t, false_now) = np.mean(found, axis=0), np.mean(false, axis=0)
            print(
                f"{models:6d} {kind:13s} {any_t:17.3f} {any_now:6.3f}   {found_t:22.1f} {found_now:6.1f}"
                f"   {false_t:20.3f} {false_now:6.3f}",
                flush=True,
            )


def by_relabelling(gaps: np.ndarray, member: np.ndarray, seed: int) -> np.ndarray:
    """The list of a report."""
    signals = SignalMatrix("logit_gap", gaps.astype(np.float32)[:, :, None], member)
    return benjamini_hochberg(leak_p_values(signals, seed=seed))


def by_t(gaps: np.ndarray, member: np.ndarray, seed: int) -> np.ndarray:
    """The list by Student's t-test, as earlier versions had it."""
    from scipy import stats

    inside, models = member.sum(axis=1), member.shape[1]
    mean_in = np.where(member, gaps, 0).sum(axis=1) / inside
    mean_out = np.where(member, 0, gaps).sum(axis=1) / (models - inside)
    within = np.where(member, gaps - mean_in[:, None], gaps - mean_out[:, None])
    error = np.sqrt((within**2).sum(axis=1) / (models - 2) * (1 / inside + 1 / (models - inside)))
    return benjamini_hochberg(stats.t.sf((mean_in - mean_out) / error, models - 2))


def groups(repetitions: int) -> None:
    """How often groups without a leak are found different, one by one and at all."""
    print("groups    fpr    attack  any group p < .05 (Holm)  largest gap p < .05   each group p < .05")
    for fpr in (0.05, 0.01):
        for kind in ("plain", "harder", "noisier", "copies"):
            rng, found = np.random.default_rng(3), {}
            for repetition in range(repetitions):
                group, member = np.sort(rng.integers(0, 5, 400)), pairs(400, 4, rng)
                base = rng.normal(2, 1.5, (400, 1)) - (3 * (group == 0)[:, None] if kind == "harder" else 0)
                spread = np.where(group == 0, 3.0, 1.0)[:, None] if kind == "noisier" else 1.0
                gaps = base + spread * rng.normal(size=(400, 8))
                if kind == "copies":
                    first = np.arange(400) // 5 * 5
                    gaps, group = gaps[first], group[first]
                outside = rng.normal(2, 1.5, (300, 1)) + rng.normal(size=(300, 8))
                for scores, name in zip(attacked(gaps, member, outside), ATTACKS, strict=True):
                    if name in ("lira", "rmia"):
                        clusters = np.repeat(np.arange(4), 2)
                        table = group_metrics(scores, group, clusters, repetition, fpr, permutations=199)
                        found.setdefault(name, []).append(
                            [
                                min(g.p_value_holm for g in table.groups) < 0.05,
                                table.largest_gap_p_value < 0.05,
                                np.mean([g.p_value < 0.05 for g in table.groups]),
                            ]
                        )
            for name, rows in found.items():
                each = np.mean(rows, axis=0)
                print(f"{kind:9s} {fpr:.2f}  {name:6s} {each[0]:20.3f} {each[1]:20.3f} {each[2]:20.3f}", flush=True)


def verdicts(repetitions: int) -> None:
    """How often audits without a leak are called one: by single intervals, by names, and by the verdict."""
    print("pairs  an AUC above 0.5  a rate above chance  anyone named  any of them  the verdict: leaks, inconclusive")
    for count in (2, 4, 8):
        rng, found = np.random.default_rng(count), []
        for repetition in range(repetitions):
            member, models = pairs(400, count, rng), 2 * count
            gaps = rng.normal(2, 1.5, (400, 1)) + rng.normal(size=(400, models))
            outside = rng.normal(2, 1.5, (300, 1)) + rng.normal(size=(300, models))
            single = SignalMatrix("logit_gap", gaps.astype(np.float32)[:, :, None], member)
            named = zip(ATTACKS, attacked(gaps, member, outside), strict=True)
            attacks, _ = summarise([replace(scores, attack=name) for name, scores in named], single.reference, None)
            p = leak_p_values(single, seed=repetition)
            records = {"id": np.arange(400), "p_value": p, "at_risk": benjamini_hochberg(p)}
            said = finding(AuditResult(attacks, records, {}, {}, main="rmia"))
            area = any(attack.auc.low > 0.5 for attack in attacks)
            rate = any(a.tpr_at_fpr[fpr].low > chance_at(a, fpr) for a in attacks for fpr in resolvable_rates(a))
            anyone = bool(records["at_risk"].any())
            found.append([area, rate, anyone, area or rate or anyone, said == "leaks", said == "inconclusive"])
        print(f"{count:5d} " + " ".join(f"{share:13.3f}" for share in np.mean(found, axis=0)), flush=True)


CHECKS = {"verdicts": verdicts, "means": means, "halves": halves, "few": few, "records": records, "groups": groups}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--repetitions", type=int, default=400)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    CHECKS[options.check](options.repetitions)
