"""Slow twins: every number again, one cell at a time, written from the formulas and not from the code."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from scipy import stats

from raymeter.schema import SignalMatrix


def references(signals: SignalMatrix, record: int, t: int, side: str) -> list[int]:
    """Model columns that may judge target t and are on one side of a record."""
    return [
        m
        for m in range(signals.values.shape[1])
        if signals.reference[t, m] and bool(signals.member[record, m]) == (side == "in")
    ]


def cells(signals: SignalMatrix) -> Iterator[tuple[int, int, int]]:
    """Every (record, target position, target's model column)."""
    for record in range(len(signals.values)):
        for t, column in enumerate(signals.targets):
            yield record, t, int(column)


def loss_oracle(signals: SignalMatrix) -> np.ndarray:
    """Mean log-probability over queries."""
    result = np.empty((len(signals.values), len(signals.targets)))
    for record, t, column in cells(signals):
        result[record, t] = math.fsum(float(v) for v in signals.values[record, column]) / signals.values.shape[2]
    return result


def _mean_probability(signals: SignalMatrix, record: int, query: int, columns: list[int]) -> float:
    return math.fsum(math.exp(float(signals.values[record, m, query])) for m in columns) / len(columns)


def rmia_oracle(
    signals: SignalMatrix, population: SignalMatrix, mode: str, offline_a: list[float], gamma: float, form: str
) -> np.ndarray:
    """RMIA by comparing every record with every population point."""
    queries = signals.values.shape[2]
    result = np.empty((len(signals.values), len(signals.targets)))
    for record, t, column in cells(signals):
        total = 0.0
        for query in range(queries):
            out = _mean_probability(signals, record, query, references(signals, record, t, "out"))
            if mode == "online":
                prior = (out + _mean_probability(signals, record, query, references(signals, record, t, "in"))) / 2
            else:
                prior = ((1 + offline_a[t]) * out + 1 - offline_a[t]) / 2
            ratio = math.exp(float(signals.values[record, column, query])) / prior
            judges = [m for m in range(signals.values.shape[1]) if signals.reference[t, m]]
            ratios = []
            for z in range(len(population.values)):
                out_z = _mean_probability(population, z, query, judges)
                prior_z = out_z if mode == "online" else ((1 + offline_a[t]) * out_z + 1 - offline_a[t]) / 2
                ratios.append(math.exp(float(population.values[z, column, query])) / prior_z)
            if form == "count":
                total += sum(ratio / other > gamma for other in ratios) / len(ratios)
            else:
                total += math.log(ratio) - math.fsum(math.log(other) for other in ratios) / len(ratios)
        result[record, t] = total / queries
    return result


def tuned_oracle(signals: SignalMatrix, population: SignalMatrix, grid: tuple[float, ...], most: int) -> list[float]:
    """The tuned a of every target, from scratch: a new, smaller matrix per stand-in and full RMIA scores."""
    chosen = []
    for t in range(len(signals.targets)):
        own = signals.member[:, signals.targets[t]]
        allowed = [m for m in range(signals.values.shape[1]) if signals.reference[t, m]]
        allowed = [m for m in allowed if (signals.member[:, m] == own).any()]
        allowed = [m for m in allowed if signals.member[:, m].any() and not signals.member[:, m].all()]
        picks = [allowed[int(i)] for i in np.linspace(0, len(allowed) - 1, min(most, len(allowed)))]
        areas = np.zeros((len(grid), len(picks)))
        for s, stand_in in enumerate(picks):
            opposite = [
                (signals.member[:, m] != signals.member[:, stand_in]).all() for m in range(len(signals.member.T))
            ]
            judges = signals.reference[t] & ~np.array(opposite)
            judges[stand_in] = False
            inner = SignalMatrix(
                "log_prob", signals.values, signals.member, judges[None], targets=np.array([stand_in], dtype=np.int64)
            )
            for i, a in enumerate(grid):
                scores = rmia_oracle(inner, population, "offline", [a], 1.0, "log_ratio")[:, 0]
                areas[i, s] = auc_oracle(np.round(scores, 9), signals.member[:, stand_in])
        chosen.append(grid[int(np.argmax(np.round(areas.mean(axis=1), 9)))])
    return chosen


def _prior(signals: SignalMatrix, t: int, query: int, side: str) -> tuple[float, float, float]:
    """Global mean, pooled within-record variance and overall variance of one side of a target's references."""
    groups = []
    for record in range(len(signals.values)):
        columns = references(signals, record, t, side)
        groups.append([float(signals.values[record, m, query]) for m in columns])
    everything = [value for group in groups for value in group]
    within = math.fsum((v - math.fsum(group) / len(group)) ** 2 for group in groups for v in group)
    overall = float(np.var(everything))
    pooled = within / len(everything) if any(len(group) > 1 for group in groups) else overall
    return float(np.mean(everything)), pooled, overall


def lira_oracle(signals: SignalMatrix, mode: str, variance: str) -> np.ndarray:
    """LiRA one cell at a time, with SciPy's densities."""
    queries = signals.values.shape[2]
    result = np.zeros((len(signals.values), len(signals.targets)))
    sides = ("in", "out") if mode == "online" else ("out",)
    priors = {
        (t, q, side): _prior(signals, t, q, side)
        for t, q, side in itertools.product(range(len(signals.targets)), range(queries), sides)
    }
    for record, t, column in cells(signals):
        for query in range(queries):
            x = float(signals.values[record, column, query])
            laws = {}
            for side in sides:
                sample = [float(signals.values[record, m, query]) for m in references(signals, record, t, side)]
                laws[side] = _law(sample, priors[t, query, side], variance)
            if mode == "online":
                result[record, t] += laws["in"].logpdf(x) - laws["out"].logpdf(x)
            else:
                result[record, t] += _deviate(laws["out"], x) / queries
    return result


def _law(sample: list[float], prior: tuple[float, float, float], variance: str):
    mean, n = float(np.mean(sample)), len(sample)
    global_mean, pooled, overall = prior
    if variance != "nig":
        square = {"per_sample": float(np.var(sample)), "global": overall, "pooled": pooled}[variance]
        return stats.norm(mean, math.sqrt(square + 1e-12))
    kappa, alpha = 0.05 + n, 2 + n / 2
    beta = (pooled + 1e-12) + 0.5 * n * float(np.var(sample)) + 0.5 * 0.05 * n * (mean - global_mean) ** 2 / kappa
    centre = (0.05 * global_mean + n * mean) / kappa
    return stats.t(2 * alpha, centre, math.sqrt(beta * (kappa + 1) / (alpha * kappa)))


def _deviate(law, x: float) -> float:
    if law.dist.name == "norm":
        mean, sd = law.args
        return (x - mean) / sd
    freedom, centre, scale = law.args
    deviate = (x - centre) / scale
    size = math.sqrt(freedom * math.log1p(deviate**2 / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return math.copysign(size, deviate)


def population_oracle(signals: SignalMatrix, population: SignalMatrix) -> np.ndarray:
    """Attack-P by comparing every record with every population point."""
    queries, size = signals.values.shape[2], len(population.values)
    result = np.empty((len(signals.values), len(signals.targets)))
    for record, t, column in cells(signals):
        total = 0.0
        for query in range(queries):
            own = signals.values[record, column, query]
            total += 1 - (1 + sum(population.values[z, column, query] >= own for z in range(size))) / (size + 1)
        result[record, t] = total / queries
    return result


def calibrated_oracle(signals: SignalMatrix, form: str) -> np.ndarray:
    """The target's signal minus the OUT mean, or minus the middle of both means."""
    queries = signals.values.shape[2]
    result = np.empty((len(signals.values), len(signals.targets)))
    for record, t, column in cells(signals):
        total = 0.0
        for query in range(queries):
            mean = {
                side: np.mean([float(signals.values[record, m, query]) for m in references(signals, record, t, side)])
                for side in (("out",) if form == "watson" else ("in", "out"))
            }
            total += float(signals.values[record, column, query]) - sum(mean.values()) / len(mean)
        result[record, t] = total / queries
    return result


def empirical_oracle(signals: SignalMatrix) -> np.ndarray:
    """Share of OUT references below the target, ties one half."""
    queries = signals.values.shape[2]
    result = np.empty((len(signals.values), len(signals.targets)))
    for record, t, column in cells(signals):
        total = 0.0
        for query in range(queries):
            own = signals.values[record, column, query]
            others = [signals.values[record, m, query] for m in references(signals, record, t, "out")]
            total += sum(1.0 if other < own else 0.5 if other == own else 0.0 for other in others) / len(others)
        result[record, t] = total / queries
    return result


def base_oracle(signals: SignalMatrix, mode: str) -> np.ndarray:
    """log p minus the log of both means' average, or minus 0.33 times the log of the OUT mean."""
    queries = signals.values.shape[2]
    result = np.empty((len(signals.values), len(signals.targets)))
    for record, t, column in cells(signals):
        total = 0.0
        for query in range(queries):
            out = _mean_probability(signals, record, query, references(signals, record, t, "out"))
            prior = 0.33 * math.log(out)
            if mode == "online":
                inside = _mean_probability(signals, record, query, references(signals, record, t, "in"))
                prior = math.log((out + inside) / 2)
            total += float(signals.values[record, column, query]) - prior
        result[record, t] = total / queries
    return result


def log_prob_oracle(logits: list[float], label: int, temperature: float, taylor: int, margin: float) -> float:
    """Log-probability of the true class from the definition, in exact fractions where the polynomial allows it."""
    z = [value / temperature - (margin if j == label else 0.0) for j, value in enumerate(logits)]
    if taylor:
        weights = [sum(Fraction(v) ** k / math.factorial(k) for k in range(taylor + 1)) for v in z]
        return math.log(weights[label] / sum(weights))
    top = max(z)
    return z[label] - top - math.log(math.fsum(math.exp(v - top) for v in z))


def entropy_oracle(logits: list[float], label: int, form: str) -> float:
    """Minus the entropy, plain or modified, from probabilities."""
    top = max(logits)
    weights = [math.exp(v - top) for v in logits]
    p = [w / math.fsum(weights) for w in weights]
    if form == "plain":
        return math.fsum(v * math.log(v) for v in p)
    others = math.fsum(p[j] * math.log(1 - p[j]) for j in range(len(p)) if j != label)
    return (1 - p[label]) * math.log(p[label]) + others


def auc_oracle(scores: np.ndarray, member: np.ndarray) -> float:
    """Share of (member, non-member) pairs in the right order; ties count one half."""
    pairs = list(itertools.product(scores[member], scores[~member]))
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


def roc_oracle(scores: np.ndarray, member: np.ndarray) -> list[tuple[float, float, float]]:
    """(fpr, tpr, threshold) for infinity and every distinct score, by counting score >= threshold."""
    points = []
    for threshold in [math.inf, *sorted(set(scores.tolist()), reverse=True)]:
        positive = scores >= threshold
        points.append((positive[~member].mean(), positive[member].mean(), threshold))
    return points


def tpr_oracle(scores: np.ndarray, member: np.ndarray, allowed: int) -> tuple[float, int]:
    """Largest true-positive rate over thresholds with at most `allowed` false positives, and those found."""
    best = (0.0, 0)
    for threshold in sorted(set(scores.tolist()), reverse=True):
        false_positives = int((scores[~member] >= threshold).sum())
        rate = float((scores[member] >= threshold).mean())
        if false_positives <= allowed and rate > best[0]:
            best = (rate, false_positives)
    return best
