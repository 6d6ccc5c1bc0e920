"""For `raymeter score`: scores or signals that others made -> everything a report says of them; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int64

from raymeter.analysis.leak_test import leak_p_values
from raymeter.analysis.odd_models import odd_models
from raymeter.analysis.power_curve import power_curve
from raymeter.analysis.record_exposure import FDR, d_prime, record_columns
from raymeter.analysis.result import FPRS, audit_result, main_label, with_model_numbers
from raymeter.attacks import ATTACKS, Attack, Base, Calibrated, Empirical, Entropy, Lira, Loss, Population, Rmia, Stack
from raymeter.attacks.common.stand_ins import stand_in_thresholds
from raymeter.errors import SignalError
from raymeter.schema.interval_text import interval_text
from raymeter.schema.results import AttackResult, AuditResult
from raymeter.schema.scores import Scores
from raymeter.schema.seeds import seed_for
from raymeter.schema.signals import SignalMatrix, Signals, default_reference
from raymeter.stats import auc_figure, benjamini_hochberg, dependent_targets, transferred_threshold
from raymeter.stats.means import MeanOverTargets

# What is tried on signals, in this order, and then every other attack of the table that signals suffice for: the first
# that uses references and can run is the main attack.
NAMED: Mapping[str, Attack] = {
    "loss": Loss(),
    "rmia": Rmia(),
    "rmia_online": Rmia(mode="online"),
    "lira": Lira(),
    "lira_offline": Lira(mode="offline"),
    "base": Base(),
    "base_offline": Base(mode="offline"),
    "calibrated": Calibrated(),
    "empirical": Empirical(),
    "population": Population(),
    "entropy": Entropy(),
    "stack": Stack(),
}
POSSIBLE: Mapping[str, Attack] = {
    **NAMED,
    **{name: kind() for name, kind in ATTACKS.items() if name not in NAMED and not kind.needs_records},
}
HUGE, DIVISOR = 1e300, 2.0**40


@dataclass(frozen=True)
class Assessment:
    """A result, and lines that a reader must know with it."""

    result: AuditResult
    notes: tuple[str, ...]


def assess_scores(scores: Scores, groups: np.ndarray | None, seed: int) -> Assessment:
    """All statistics of one attack's scores; thresholds of a target are carried over from independent targets.

    Raises:
        SignalError: A target has no members or no non-members, or scores are too far apart for means of them.
    """
    scores, notes = _within_sums(scores)
    numbered = replace(scores, targets=np.arange(scores.values.shape[1]))
    same = np.unique(scores.member, axis=1, return_inverse=True)[1]  # models of the same records are no second draw
    reference = default_reference(scores.member) & (same[:, None] != same)
    clusters = dependent_targets(reference, numbered.targets)
    thresholds = {scores.attack: _thresholds_from_others(numbered, clusters)}
    groupings = {} if groups is None else {"group": groups}
    result = audit_result(
        [numbered],
        reference=reference,
        labels=None,
        thresholds=thresholds,
        groupings=groupings,
        seed=seed,
        main=numbered.attack,
    )
    result = with_model_numbers(result, scores.targets)
    return Assessment(result, (*notes, *_reversal_warnings(result.attacks), *_odd_targets(result.attacks[0])))


def assess_signals(signals: Signals, attacks: Mapping[str, Attack] | None, seed: int) -> Assessment:
    """Attacks on signals and all statistics of them.

    Args:
        attacks: By label; by default all that these signals allow. Those that are asked for must be possible.

    Raises:
        SignalError: An attack that was asked for cannot run, or none can.
    """
    matrix = signals.audit["logit_gap"]
    for column, member in zip(matrix.targets, matrix.member[:, matrix.targets].T, strict=True):
        if member.all() or not member.any():
            raise SignalError(
                f"model {column} was trained on {'all' if member.all() else 'none'} of the {len(member)} records, so "
                "it cannot be a target; leave its column out, or name the targets in an array 'targets' of an .npz"
            )
    scores, notes = _possible_scores(signals) if attacks is None else (_asked_scores(signals, attacks), [])
    ran = {of_attack.attack: (attacks or POSSIBLE)[of_attack.attack] for of_attack in scores}
    thresholds = {label: stand_in_thresholds(attack, signals, FPRS) for label, attack in ran.items()}
    groupings = {} if matrix.labels is None else {"class": matrix.labels}
    result = audit_result(
        scores,
        reference=matrix.reference,
        labels=matrix.labels,
        thresholds=thresholds,
        groupings=groupings,
        seed=seed,
        main=main_label(ran),
    )
    with_references = {label: attack for label, attack in ran.items() if attack.needs_references}
    power_seed = seed_for(seed, "power")
    power = {label: power_curve(attack, signals, power_seed) for label, attack in with_references.items()}
    columns, lacking = _record_columns(matrix, seed_for(seed, "records at risk"))
    curves = {label: points for label, points in power.items() if points}
    result = replace(result, power=curves, records={**result.records, **columns})
    return Assessment(result, (*notes, *lacking, *odd_models(matrix), *direction(matrix)))


def direction(matrix: SignalMatrix) -> tuple[str, ...]:
    """A warning where members are not fitted better than non-members: memberships or ids may be wrong."""
    records, models, _ = matrix.values.shape
    if models > records:
        return (
            f"warning: {models} models and {records} records: if signals and memberships both have models as rows, "
            "transpose them",
        )
    clusters = dependent_targets(matrix.reference, matrix.targets)
    mean = MeanOverTargets(clusters)
    for column in matrix.targets:
        member = matrix.member[:, column]
        if member.all() or not member.any():
            return (f"warning: model {column} was trained on all of the records, or on none: it cannot be a target",)
        mean.add(auc_figure(matrix.values[:, column].mean(axis=1, dtype=np.float64), member))
    auc = mean.interval()
    text = f"the signal alone separates members from non-members with AUC {interval_text(auc)}"
    if auc.high < 0.5:
        return (f"warning: {text}, below chance: check that 1 means member and that signals rise with the fit",)
    if auc.low <= 0.5:
        return (f"{text}, which may be chance: if more was expected, check that rows and ids belong together",)
    return ()


def _asked_scores(signals: Signals, attacks: Mapping[str, Attack]) -> list[Scores]:
    return [replace(attack(signals), attack=label) for label, attack in attacks.items()]


def _possible_scores(signals: Signals) -> tuple[list[Scores], list[str]]:
    """Scores of every attack that runs, and a line for each that does not."""
    scores, notes = [], []
    for label, attack in POSSIBLE.items():
        if attack.needs_logits and signals.audit_logits is None:
            notes.append(f"without {label}: it needs logits of all classes")
            continue
        try:
            scores.append(replace(attack(signals), attack=label))
        except SignalError as error:
            notes.append(f"without {label}: {error}")
    if not scores:
        raise SignalError("no attack can run on these signals: " + "; ".join(notes))
    return scores, notes


def _record_columns(matrix: SignalMatrix, seed: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """What the table of records says whatever the attack; without LiRA's p-values where references lack."""
    try:
        return record_columns(matrix, seed=seed), []
    except SignalError as error:
        p = leak_p_values(matrix, seed=seed)
        return {"d_prime": d_prime(matrix), "p_value": p, "at_risk": benjamini_hochberg(p, FDR)}, [
            f"without membership_p_value: {error}"
        ]


def _thresholds_from_others(
    scores: Scores, clusters: Int64[np.ndarray, " targets"]
) -> Float[np.ndarray, "targets fprs"]:
    """For each target the median threshold of the targets that are independent of it; NaN where there are none."""
    thresholds = np.full((len(clusters), len(FPRS)), np.nan)
    for t, cluster in enumerate(clusters):
        others = np.flatnonzero(clusters != cluster)
        if len(others):
            independent = replace(
                scores, values=scores.values[:, others], member=scores.member[:, others], targets=scores.targets[others]
            )
            thresholds[t] = [transferred_threshold(independent, fpr) for fpr in FPRS]
    return thresholds


def _reversal_warnings(attacks: Sequence[AttackResult]) -> tuple[str, ...]:
    """A line for each attack whose AUC is surely below one half, with what to do."""
    remedies = {
        False: "if lower means member in this file, say so with --lower-means-member",
        True: "if higher means member in this file, leave --lower-means-member out",
    }
    return tuple(
        f"warning: the AUC of {attack.name} is {interval_text(attack.auc)}, below one half: its scores may be "
        f"reversed; {remedies[bool(attack.scores.settings.get('lower_means_member'))]}"
        for attack in attacks
        if attack.auc.high < 0.5
    )


def _within_sums(scores: Scores) -> tuple[Scores, tuple[str, ...]]:
    """Scores whose sums are finite: those that reach beyond HUGE are divided by a power of two, which changes no order.

    Raises:
        SignalError: The smallest of them would lose their differences.
    """
    largest = float(np.abs(scores.values).max())
    if largest <= HUGE:
        return scores, ()
    divided = scores.values / DIVISOR
    if (divided * DIVISOR != scores.values).any():
        raise SignalError(
            f"scores reach {largest:.3g}, and others are so near 0 that no common scale holds both; give their "
            "logarithms"
        )
    note = f"scores reach {largest:.3g}: all are divided by {DIVISOR:.0f}, so that means of them are finite"
    return replace(scores, values=divided), (note,)


def _odd_targets(attack: AttackResult) -> tuple[str, ...]:
    """A line for each target of several whose scores are all alike, or point the other way than the mean's."""
    lines, constant = [], np.ptp(attack.scores.values, axis=0) == 0
    for target, values, alike in zip(attack.targets, attack.scores.values.T, constant, strict=True):
        if alike and not constant.all():
            lines.append(
                f"warning: {target.name} gives every record the same score ({values[0]:.4g}): it draws the means "
                "towards chance; leave its rows out"
            )
        elif attack.auc.low > 0.5 and target.auc.high < 0.5:
            lines.append(
                f"warning: the AUC of {target.name} alone is {interval_text(target.auc)}, below one half, the mean's "
                "above: its scores, or its members, may be reversed"
            )
    return tuple(lines)
