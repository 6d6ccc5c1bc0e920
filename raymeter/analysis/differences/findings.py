"""Why two results differ: what they are made of, side by side, and a walk from one to the other; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import stats

from raymeter.analysis.comparison import settings_apart
from raymeter.analysis.differences.recognise import SAME_ORDER, Match, recognise
from raymeter.analysis.differences.walk import Side, Step, common_models, common_rows, walk
from raymeter.attacks import Attack, Lira
from raymeter.errors import SignalError
from raymeter.schema.interval_text import interval_text
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, default_reference, opposite_models
from raymeter.stats import auc_interval, dependent_targets, mean_over_targets

SHOWN = ("mode", "form", "offline_a", "gamma", "variance")  # settings that name an attack
ROUNDING = 2e-7  # of a probability that was once a float32


@dataclass(frozen=True)
class Finding:
    """One thing in which two results are alike or differ."""

    what: str
    differs: bool
    text: str


@dataclass(frozen=True)
class Difference:
    """All findings, per attack the walk from A to B, and what final scores look like."""

    findings: tuple[Finding, ...]
    walks: Mapping[str, tuple[Step, ...]]
    matches: Mapping[str, tuple[Match, ...]]


def explain_difference(a: Side, b: Side) -> Difference:
    """Compare two results.

    Where both have signals, every attack of both is walked from A to B: one thing after the other is taken from
    B, and the change of the AUC is that thing's share. Shares depend on the order, which is always the same.
    Results of different data, or of pools that were drawn differently, have no records in common.
    Final scores without signals are compared by their order, and looked for among the attacks on the other's
    signals.

    Raises:
        SignalError: The two have no record in common.
    """
    findings: list[Finding] = [*_facts(a, b)]
    if apart := [*_other_data(a, b)]:
        return Difference((*apart, *findings), {}, {})
    walks: dict[str, tuple[Step, ...]] = {}
    matches: dict[str, tuple[Match, ...]] = {}
    if a.signals is not None and b.signals is not None:
        findings += _of_signals(a, b)
        walks = {label: tuple(walk(a, b, label)) for label in a.attacks if label in b.attacks}
        return Difference(tuple(findings), walks, matches)
    for known, other in ((a, b), (b, a)):
        if known.signals is not None:
            for label, scores in other.scores.items():
                ranking = recognise(known.signals, scores)
                matches[f"{other.name}: {label}"] = tuple(match for match, _ in ranking[:3])
                best, family = ranking[0]
                findings.append(_recognised(known, other, label, best))
                findings += _own(known, other, label, family)
    findings += _of_scores(a, b)
    return Difference(tuple(dict.fromkeys(findings)), walks, matches)  # what many attacks have in common, once


def _recognised(known: Side, other: Side, label: str, best: Match) -> Finding:
    alike = f"rank correlation {best.correlation:.4f}"
    if best.is_same:
        coarse = f"; {best.steps} different values" if best.steps is not None else ""
        text = f"{other.name}'s {label} orders records as {best.name} does on {known.name}'s signals ({alike}{coarse})"
        return Finding("attack", False, text)
    if best.correlation <= -SAME_ORDER:
        text = f"{other.name}'s {label} orders records as {best.name} does on {known.name}'s signals, turned round"
        return Finding("direction", True, f"{text}: in one of them lower means member")
    text = f"{other.name}'s {label} was made by no attack known here from {known.name}'s signals; nearest: {best.name}"
    return Finding("attack", True, f"{text} ({alike})")


def _own(known: Side, other: Side, label: str, family: type[Attack]) -> Iterator[Finding]:
    """The attacks of the same family that the side with signals ran itself, beside the other's scores."""
    assert known.signals is not None
    theirs = other.scores[label]
    if label in known.attacks and theirs.settings:
        mine = {each.name: getattr(known.attacks[label], each.name) for each in fields(known.attacks[label])}
        yield from (Finding("settings", True, text) for text in settings_apart(label, mine, theirs.settings))
    for own, attack in known.attacks.items():
        if not isinstance(attack, family):
            continue
        try:
            made = attack(known.signals)
        except SignalError:
            continue
        settings = ", ".join(f"{name} {getattr(attack, name)}" for name in SHOWN if hasattr(attack, name))
        text = f"{known.name}'s own {own} ({settings}) has AUC {_auc_text(made)}"
        text += f", {other.name}'s {label} {_auc_text(theirs)}"
        yield Finding("auc", False, text)


# --- what is alike and what is not ----------------------------------------------------------------
def _other_data(a: Side, b: Side) -> Iterator[Finding]:
    for fact in ("data", "data of the report"):
        one, other = a.facts.get(fact), b.facts.get(fact)
        if one is not None and other is not None and one != other:
            which = f"{one[0]} against {other[0]}" if one[0] != other[0] else f"{one[0]}, drawn or read differently"
            text = f"data: {which}; records cannot be told by their numbers, audit the same data, seed and pool_size"
            yield Finding("data", True, text)


def _facts(a: Side, b: Side) -> Iterator[Finding]:
    for name, what in (
        ("batch_norm", "batch norm"),
        ("kind", "given signals"),
        ("format", "format"),
        ("views", "views"),
    ):
        one, other = a.facts.get(name), b.facts.get(name)
        if one is None and other is None:
            continue
        if one is None or other is None:
            known, value = (a, one) if other is None else (b, other)
            yield Finding(what, False, f"{what}: {value} in {known.name}, not known of the other")
        elif one != other:
            hint = "; batch statistics make a record's signal depend on its batch" if name == "batch_norm" else ""
            yield Finding(what, True, f"{what}: {one} against {other}{hint}")
        elif name == "batch_norm":
            yield Finding(what, False, f"{what}: {one} in both")
    one, other = a.facts.get("weights"), b.facts.get("weights")
    if one and other:
        same = len(set(one) & set(other))
        text = f"weights: {same} models are the same file, of {len(one)} and {len(other)}"
        yield Finding("weights", same < max(len(one), len(other)), text)
    for label in sorted({*a.attacks} | {*b.attacks}):
        if label in a.attacks and label in b.attacks:
            yield from _settings(label, a.attacks[label], b.attacks[label])
        elif a.attacks and b.attacks:
            only = a.name if label in a.attacks else b.name
            yield Finding("attacks", True, f"{label}: only {only} has it")


def _settings(label: str, one: Attack, other: Attack) -> Iterator[Finding]:
    if type(one) is not type(other):
        yield Finding("settings", True, f"{label}: {type(one).__name__} against {type(other).__name__}")
        return
    for setting in fields(one):
        mine, theirs = getattr(one, setting.name), getattr(other, setting.name)
        if mine != theirs:
            yield Finding("settings", True, f"{label}.{setting.name}: {mine} against {theirs}")
    if isinstance(one, Lira) and isinstance(other, Lira):
        kinds = {"online": "log-density ratio", "offline": "one-sided tail"}
        mine, theirs = kinds[one.mode], kinds[other.mode]
        if mine != theirs:
            yield Finding("settings", True, f"{label}: scores are a {mine} against a {theirs}")


def _of_signals(a: Side, b: Side) -> Iterator[Finding]:
    assert a.signals is not None and b.signals is not None
    one, other = a.signals.audit["logit_gap"], b.signals.audit["logit_gap"]
    rows = common_rows(one, other)
    if len(rows[0]) < max(len(one.ids), len(other.ids)):
        text = f"records: {len(rows[0])} in common, of {len(one.ids)} and {len(other.ids)}"
        yield Finding("records", True, text)
    else:
        yield Finding("records", False, f"records: the same {len(one.ids)}")
    columns, how = common_models(one, other, rows)
    counts = f"of {one.member.shape[1]} and {other.member.shape[1]}"
    all_there = len(columns[0]) == max(one.member.shape[1], other.member.shape[1])
    text = f"models: {len(columns[0])} {MATCHED[how]}, {counts}"
    yield Finding("models", how == "moved" or not all_there, text)
    mine, theirs = one.member[np.ix_(rows[0], columns[0])], other.member[np.ix_(rows[1], columns[1])]
    wrong = int((mine != theirs).sum())
    inverted = "; they are exactly opposite: 1 means non-member in one of them" if wrong == mine.size else ""
    yield Finding("memberships", wrong > 0, f"memberships: {wrong} of {mine.size} entries differ{inverted}")
    yield _references(a, one, b, other)
    yield from _values(one.values[np.ix_(rows[0], columns[0])], other.values[np.ix_(rows[1], columns[1])])
    sizes = [len(side.signals.population["log_prob"].values) for side in (a, b) if side.signals is not None]
    yield Finding("population", sizes[0] != sizes[1], f"population: {sizes[0]} against {sizes[1]} records")


MATCHED = {
    "same": "in the same order",
    "moved": "found by their members, in another order or among others",
    "position": "compared by position",
}


def _references(a: Side, one: SignalMatrix, b: Side, other: SignalMatrix) -> Finding:
    def about(matrix: SignalMatrix) -> tuple[int, int, int, int]:
        judges = matrix.reference.sum(axis=1)
        with_complement = int((matrix.reference & opposite_models(matrix.member)[matrix.targets]).any(axis=1).sum())
        return len(matrix.targets), int(judges.min()), int(judges.max()), with_complement

    texts = [
        f"{name}: {targets} targets, {low} to {high} references each"
        + (f", the complement among those of {n}" if n else "")
        for name, (targets, low, high, n) in ((a.name, about(one)), (b.name, about(other)))
    ]
    return Finding("references", about(one) != about(other), f"references: {'; '.join(texts)}")


def _values(one: np.ndarray, other: np.ndarray) -> Iterator[Finding]:
    if one.shape != other.shape:
        yield Finding("signals", True, f"signals: {one.shape[2]} against {other.shape[2]} views a record")
        one, other = one[:, :, :1], other[:, :, :1]
    if np.array_equal(one, other):
        yield Finding("signals", False, "signals: identical")
        return
    mine, theirs = (1 / (1 + np.exp(-values.astype(np.float64))) for values in (one, other))
    apart = float(np.abs(mine - theirs).max())
    gap = float(np.abs(one - other).max())
    tops = [float((values == values.max()).mean()) for values in (one, other)]
    tied = f"; {tops[0]:.1%} and {tops[1]:.1%} of the signals tie at the top" if max(tops) > 0.01 else ""
    if apart <= ROUNDING:
        text = f"signals: probabilities agree to {apart:.0e}, logit gaps to {gap:.2g}: rounded when they were stored"
        yield Finding("signals", gap > 1e-3, f"{text}{tied}")
        return
    alike = float(stats.spearmanr(one.ravel(), other.ravel()).statistic)
    shift = float(np.mean(other.astype(np.float64) - one))
    text = f"signals: rank correlation {alike:.3f}, logit gaps {shift:+.2f} on average, probabilities {apart:.2g} apart"
    hint = "; other models, views, batch norm or precision" if alike > 0.5 else "; rows or models may differ"
    yield Finding("signals", True, f"{text}{tied}{hint}")


def _of_scores(a: Side, b: Side) -> Iterator[Finding]:
    for label, other_label in _paired(a.scores, b.scores):
        one, other = a.scores[label], b.scores[other_label]
        name = label if label == other_label else f"{label} and {other_label}"
        if label == other_label:
            yield from (Finding("settings", True, text) for text in settings_apart(label, one.settings, other.settings))
        ids, mine, theirs = np.intersect1d(one.ids, other.ids, return_indices=True)
        if not len(ids):
            raise SignalError("the two results have no record in common; check that ids mean the same in both")
        targets, there, here = np.intersect1d(one.targets, other.targets, return_indices=True)
        text = f"scores: {len(ids)} records in common of {len(one.ids)} and {len(other.ids)}, {len(targets)} targets"
        yield Finding("records", len(ids) < max(len(one.ids), len(other.ids)), text)
        if not len(targets):
            continue
        first, second = one.member[np.ix_(mine, there)], other.member[np.ix_(theirs, here)]
        wrong = int((first != second).sum())
        yield Finding("memberships", wrong > 0, f"scores: {wrong} of {first.size} memberships differ")
        values, others = one.values[np.ix_(mine, there)], other.values[np.ix_(theirs, here)]
        ranks = [float(stats.spearmanr(x, y).statistic) for x, y in zip(values.T, others.T, strict=True)]
        mean = float(np.mean(ranks))
        turned = "; one of them is turned round" if mean < -0.2 else ""
        same = "; the same order, so the same ROC" if mean > 1 - 1e-9 else ""
        yield Finding("scores", not same, f"{name}: rank correlation {mean:.4f} within a target{turned}{same}")
        sides = ((a, label, one, mine, there), (b, other_label, other, theirs, here))
        for side, which, scores, rows, columns in sides:
            part = replace(
                scores,
                values=scores.values[np.ix_(rows, columns)],
                member=scores.member[np.ix_(rows, columns)],
                targets=scores.targets[columns],
            )
            yield Finding("auc", False, f"{side.name}'s {which}: AUC {_auc_text(scores)}, {_auc_text(part)} in common")


def _paired(a: Mapping[str, Scores], b: Mapping[str, Scores]) -> list[tuple[str, str]]:
    """Attacks of the same name; where one side has a single attack, that one with every other."""
    if len(a) == 1 or len(b) == 1:
        return [(one, other) for one in a for other in b]
    return [(label, label) for label in a if label in b]


def _auc_text(scores: Scores) -> str:
    intervals = [auc_interval(values, member) for values, member in zip(scores.values.T, scores.member.T, strict=True)]
    clusters = dependent_targets(default_reference(scores.member), np.arange(len(intervals)))
    return interval_text(mean_over_targets(intervals, clusters))
