"""Why two results differ: what they are made of, side by side, and a walk from one to the other; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import scipy

from raymeter.analysis.comparison import settings_apart
from raymeter.analysis.differences.recognise import SAME_ORDER, Match, rate_at, recognise
from raymeter.analysis.differences.walk import Side, Step, common_models, common_rows, walk
from raymeter.attacks import Attack, Lira
from raymeter.errors import SignalError
from raymeter.schema.interval_text import interval_text
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, default_reference, opposite_models
from raymeter.stats import auc_figure, dependent_targets, mean_over_targets
from raymeter.stats.figures import figures_of

SHOWN = ("mode", "form", "offline_a", "gamma", "variance")  # settings that name an attack
ROUNDING = 2e-7  # of a probability that was once a float32


@dataclass(frozen=True)
class Finding:
    """One thing in which two results are alike or differ."""

    what: str
    differs: bool
    text: str


@dataclass(frozen=True)
class Explanation:
    """Why two results differ: all findings, per attack the walk from A to B, and what final scores look like."""

    findings: tuple[Finding, ...]
    walks: Mapping[str, tuple[Step, ...]]
    matches: Mapping[str, tuple[Match, ...]]


def explain_difference(a: Side, b: Side) -> Explanation:
    """Compare two results.

    Where both have signals, every attack of both is walked from A to B: one thing after the other is taken from
    B, and the change of the AUC is that thing's share. Shares depend on the order, which is always the same.
    Results of different data, or of pools that were drawn differently, have no records in common.
    Final scores without signals are compared by their order, and looked for among the attacks on the other's
    signals.

    Raises:
        SignalError: The two have no record in common.
    """
    findings: list[Finding] = [*_fact_findings(a, b)]
    if data_findings := [*_data_findings(a, b)]:
        return Explanation((*data_findings, *findings), {}, {})
    walks: dict[str, tuple[Step, ...]] = {}
    matches: dict[str, tuple[Match, ...]] = {}
    if a.signals is not None and b.signals is not None:
        findings += _signal_findings(a, b)
        walks = {label: tuple(walk(a, b, label)) for label in a.attacks if label in b.attacks}
        return Explanation(tuple(findings), walks, matches)
    for known, other in ((a, b), (b, a)):
        if known.signals is not None:
            for label, scores in other.scores.items():
                ranking = recognise(known.signals, scores)
                matches[f"{other.name}: {label}"] = tuple(match for match, _ in ranking[:3])
                best, family = ranking[0]
                findings.append(_recognised(known, other, label, best))
                findings += _same_family(known, other, label, family)
    findings += _score_findings(a, b)
    return Explanation(tuple(dict.fromkeys(findings)), walks, matches)  # what many attacks have in common, once


def _recognised(known: Side, other: Side, label: str, best: Match) -> Finding:
    """By which attack on the known side's signals the other's scores were made."""
    alike = f"rank correlation {best.correlation:.4f}"
    if best.equal is not None:
        alike += f", the same order in {best.equal[0]} of {best.equal[1]} targets"
    if best.is_same:
        coarse = f"; {best.steps} different values" if best.steps is not None else ""
        text = f"{other.name}'s {label} orders records as {best.name} does on {known.name}'s signals ({alike}{coarse})"
        return Finding("attack", best.variant, text)
    if best.correlation >= SAME_ORDER:
        text = f"{other.name}'s {label} orders records as {best.name} does on {known.name}'s signals but for the top"
        return Finding("attack", True, f"{text}: TPRs at 1 % FPR are {best.apart:.4f} apart ({alike})")
    if best.correlation <= -SAME_ORDER:
        text = f"{other.name}'s {label} orders records as {best.name} does on {known.name}'s signals, reversed"
        return Finding("direction", True, f"{text}: in one of them lower means member")
    text = f"{other.name}'s {label} was made by no attack known here from {known.name}'s signals; nearest: {best.name}"
    return Finding("attack", True, f"{text} ({alike})")


def _same_family(known: Side, other: Side, label: str, family: type[Attack]) -> Iterator[Finding]:
    """The attacks of the same family that the side with signals ran itself, next to the other's scores."""
    assert known.signals is not None
    theirs = other.scores[label]
    if label in known.attacks and theirs.settings:
        attack = known.attacks[label]
        own_settings = {setting.name: getattr(attack, setting.name) for setting in fields(attack)}
        texts = settings_apart(label, own_settings, theirs.settings)
        yield from (Finding("settings", True, text) for text in texts)
    for own, attack in known.attacks.items():
        if not isinstance(attack, family):
            continue
        try:
            scores = attack(known.signals)
        except SignalError:
            continue
        settings = ", ".join(f"{name} {getattr(attack, name)}" for name in SHOWN if hasattr(attack, name))
        text = f"{known.name}'s own {own} ({settings}) has AUC {_auc_text(scores)}"
        text += f", {other.name}'s {label} {_auc_text(theirs)}"
        yield Finding("auc", False, text)


# --- what is alike and what is not ----------------------------------------------------------------
def _data_findings(a: Side, b: Side) -> Iterator[Finding]:
    """Different data, which leave nothing else to compare; nothing where they are the same or not known."""
    for fact in ("data", "data of the report"):
        data_a, data_b = a.facts.get(fact), b.facts.get(fact)
        if data_a is not None and data_b is not None and data_a != data_b:
            names = f"{data_a[0]} against {data_b[0]}"
            which = names if data_a[0] != data_b[0] else f"{data_a[0]}, drawn or read differently"
            text = f"data: {which}; records cannot be matched by their numbers, audit the same data, seed and pool_size"
            yield Finding("data", True, text)


def _fact_findings(a: Side, b: Side) -> Iterator[Finding]:
    """What is known of both besides signals and scores: how signals were made, weights, attacks and their settings."""
    for name, what in (
        ("batch_norm", "batch norm"),
        ("kind", "given signals"),
        ("format", "format"),
        ("views", "views"),
    ):
        fact_a, fact_b = a.facts.get(name), b.facts.get(name)
        if fact_a is None and fact_b is None:
            continue
        if fact_a is None or fact_b is None:
            known, value = (a, fact_a) if fact_b is None else (b, fact_b)
            yield Finding(what, False, f"{what}: {value} in {known.name}, not known of the other")
        elif fact_a != fact_b:
            hint = "; batch statistics make a record's signal depend on its batch" if name == "batch_norm" else ""
            yield Finding(what, True, f"{what}: {fact_a} against {fact_b}{hint}")
        elif name == "batch_norm":
            yield Finding(what, False, f"{what}: {fact_a} in both")
    weights_a, weights_b = a.facts.get("weights"), b.facts.get("weights")
    if weights_a and weights_b:
        same = len(set(weights_a) & set(weights_b))
        text = f"weights: {same} models are the same file, of {len(weights_a)} and {len(weights_b)}"
        yield Finding("weights", same < max(len(weights_a), len(weights_b)), text)
    for label in sorted({*a.attacks} | {*b.attacks}):
        if label in a.attacks and label in b.attacks:
            yield from _setting_findings(label, a.attacks[label], b.attacks[label])
        elif a.attacks and b.attacks:
            only = a.name if label in a.attacks else b.name
            yield Finding("attacks", True, f"{label}: only {only} has it")


def _setting_findings(label: str, attack_a: Attack, attack_b: Attack) -> Iterator[Finding]:
    if type(attack_a) is not type(attack_b):
        yield Finding("settings", True, f"{label}: {type(attack_a).__name__} against {type(attack_b).__name__}")
        return
    for setting in fields(attack_a):
        value_a, value_b = getattr(attack_a, setting.name), getattr(attack_b, setting.name)
        if value_a != value_b:
            yield Finding("settings", True, f"{label}.{setting.name}: {value_a} against {value_b}")
    if isinstance(attack_a, Lira) and isinstance(attack_b, Lira) and attack_a.mode != attack_b.mode:
        scores = {"online": "log-density ratio", "offline": "one-sided tail"}
        text = f"{label}: scores are a {scores[attack_a.mode]} against a {scores[attack_b.mode]}"
        yield Finding("settings", True, text)


def _signal_findings(a: Side, b: Side) -> Iterator[Finding]:
    """Records, models, memberships, references, values and populations of both sides' signals."""
    assert a.signals is not None and b.signals is not None
    gaps_a, gaps_b = a.signals.audit["logit_gap"], b.signals.audit["logit_gap"]
    rows_a, rows_b = rows = common_rows(gaps_a, gaps_b)
    if len(rows_a) < max(len(gaps_a.ids), len(gaps_b.ids)):
        text = f"records: {len(rows_a)} in common, of {len(gaps_a.ids)} and {len(gaps_b.ids)}"
        yield Finding("records", True, text)
    else:
        yield Finding("records", False, f"records: the same {len(gaps_a.ids)}")
    (columns_a, columns_b), how = common_models(gaps_a, gaps_b, rows)
    models_a, models_b = gaps_a.member.shape[1], gaps_b.member.shape[1]
    text = f"models: {len(columns_a)} {MATCHED[how]}, of {models_a} and {models_b}"
    yield Finding("models", how == "moved" or len(columns_a) != max(models_a, models_b), text)
    member_a, member_b = gaps_a.member[np.ix_(rows_a, columns_a)], gaps_b.member[np.ix_(rows_b, columns_b)]
    wrong = int((member_a != member_b).sum())
    inverted = "; they are exactly opposite: 1 means non-member in one of them" if wrong == member_a.size else ""
    yield Finding("memberships", wrong > 0, f"memberships: {wrong} of {member_a.size} entries differ{inverted}")
    yield _reference_finding(a.name, gaps_a, b.name, gaps_b)
    yield from _value_findings(gaps_a.values[np.ix_(rows_a, columns_a)], gaps_b.values[np.ix_(rows_b, columns_b)])
    sizes = [len(side.signals.population["log_prob"].values) for side in (a, b) if side.signals is not None]
    yield Finding("population", sizes[0] != sizes[1], f"population: {sizes[0]} against {sizes[1]} records")


MATCHED = {
    "same": "in the same order",
    "moved": "found by their members, in another order or among others",
    "position": "compared by position",
}


def _reference_finding(name_a: str, signals_a: SignalMatrix, name_b: str, signals_b: SignalMatrix) -> Finding:
    def counts(matrix: SignalMatrix) -> tuple[int, int, int, int]:
        """Targets, the fewest and the most references of one, and how many have their complement among them."""
        judges = matrix.reference.sum(axis=1)
        with_complement = int((matrix.reference & opposite_models(matrix.member)[matrix.targets]).any(axis=1).sum())
        return len(matrix.targets), int(judges.min()), int(judges.max()), with_complement

    counts_a, counts_b = counts(signals_a), counts(signals_b)
    texts = [
        f"{name}: {targets} targets, {low} to {high} references each"
        + (f", the complement among those of {n}" if n else "")
        for name, (targets, low, high, n) in ((name_a, counts_a), (name_b, counts_b))
    ]
    return Finding("references", counts_a != counts_b, f"references: {'; '.join(texts)}")


def _value_findings(gaps_a: np.ndarray, gaps_b: np.ndarray) -> Iterator[Finding]:
    """How far logit gaps of the same records under the same models are apart."""
    if gaps_a.shape != gaps_b.shape:
        yield Finding("signals", True, f"signals: {gaps_a.shape[2]} against {gaps_b.shape[2]} views a record")
        gaps_a, gaps_b = gaps_a[:, :, :1], gaps_b[:, :, :1]
    if np.array_equal(gaps_a, gaps_b):
        yield Finding("signals", False, "signals: identical")
        return
    p_a, p_b = (1 / (1 + np.exp(-gaps.astype(np.float64))) for gaps in (gaps_a, gaps_b))
    apart = float(np.abs(p_a - p_b).max())
    widest = float(np.abs(gaps_a - gaps_b).max())
    tops = [float((gaps == gaps.max()).mean()) for gaps in (gaps_a, gaps_b)]
    tied = f"; {tops[0]:.1%} and {tops[1]:.1%} of the signals tie at the top" if max(tops) > 0.01 else ""
    if apart <= ROUNDING:
        text = f"signals: probabilities agree to {apart:.0e}, logit gaps to {widest:.2g}: rounded when they were stored"
        yield Finding("signals", widest > 1e-3, f"{text}{tied}")
        return
    correlation = float(scipy.stats.spearmanr(gaps_a.ravel(), gaps_b.ravel()).statistic)
    shift = float(np.mean(gaps_b.astype(np.float64) - gaps_a))
    text = f"signals: rank correlation {correlation:.3f}, logit gaps {shift:+.2f} on average, "
    text += f"probabilities {apart:.2g} apart"
    hint = "; other models, views, batch norm or precision" if correlation > 0.5 else "; rows or models may differ"
    yield Finding("signals", True, f"{text}{tied}{hint}")


def _score_findings(a: Side, b: Side) -> Iterator[Finding]:
    """Final scores of both sides: records, memberships, order and AUC of every pair of attacks."""
    for label_a, label_b in _label_pairs(a.scores, b.scores):
        scores_a, scores_b = a.scores[label_a], b.scores[label_b]
        if label_a == label_b:
            texts = settings_apart(label_a, scores_a.settings, scores_b.settings)
            yield from (Finding("settings", True, text) for text in texts)
        ids, rows_a, rows_b = np.intersect1d(scores_a.ids, scores_b.ids, return_indices=True)
        if not len(ids):
            raise SignalError("the two results have no record in common; check that ids mean the same in both")
        targets, columns_a, columns_b = np.intersect1d(scores_a.targets, scores_b.targets, return_indices=True)
        text = f"scores: {len(ids)} records in common of {len(scores_a.ids)} and {len(scores_b.ids)}, "
        yield Finding("records", len(ids) < max(len(scores_a.ids), len(scores_b.ids)), f"{text}{len(targets)} targets")
        if not len(targets):
            continue
        common_a, common_b = _cut(scores_a, rows_a, columns_a), _cut(scores_b, rows_b, columns_b)
        wrong = int((common_a.member != common_b.member).sum())
        yield Finding("memberships", wrong > 0, f"scores: {wrong} of {common_a.member.size} memberships differ")
        yield _order_finding(label_a if label_a == label_b else f"{label_a} and {label_b}", common_a, common_b)
        for side, label, scores, common in ((a, label_a, scores_a, common_a), (b, label_b, scores_b, common_b)):
            text = f"{side.name}'s {label}: AUC {_auc_text(scores)}, {_auc_text(common)} in common"
            yield Finding("auc", False, text)


def _order_finding(name: str, scores_a: Scores, scores_b: Scores) -> Finding:
    """Whether two attacks order the same records alike within a target."""
    columns = list(zip(scores_a.values.T, scores_b.values.T, scores_a.member.T, scores_b.member.T, strict=True))
    correlations = np.array([float(scipy.stats.spearmanr(x, y).statistic) for x, y, _, _ in columns])
    mean, equal = float(correlations.mean()), int((correlations > 1 - 1e-9).sum())
    text = f"{name}: rank correlation {mean:.4f} within a target" + ("; one of them is reversed" if mean < -0.2 else "")
    if equal == len(columns):
        return Finding("scores", False, f"{text}; the same order, so the same ROC")
    rates = [
        (rate_at(x, a), rate_at(y, b)) for x, y, a, b in columns if a.any() and b.any() and not (a.all() or b.all())
    ]
    if rates:
        found_a, found_b = np.mean(rates, axis=0)
        text += f"; TPR at 1 % FPR {found_a:.4f} against {found_b:.4f}"
    if equal:
        text += f"; the same order in {equal} of {len(columns)} targets"
    return Finding("scores", True, text)


def _cut(scores: Scores, rows: np.ndarray, columns: np.ndarray) -> Scores:
    """Some records and targets of scores."""
    return replace(
        scores,
        values=scores.values[np.ix_(rows, columns)],
        member=scores.member[np.ix_(rows, columns)],
        ids=scores.ids[rows],
        targets=scores.targets[columns],
    )


def _label_pairs(a: Mapping[str, Scores], b: Mapping[str, Scores]) -> list[tuple[str, str]]:
    """Attacks of the same name; where one side has a single attack, that one with every other."""
    if len(a) == 1 or len(b) == 1:
        return [(label_a, label_b) for label_a in a for label_b in b]
    return [(label, label) for label in a if label in b]


def _auc_text(scores: Scores) -> str:
    clusters = dependent_targets(default_reference(scores.member), np.arange(scores.values.shape[1]))
    return interval_text(mean_over_targets(figures_of(auc_figure, scores), clusters))
