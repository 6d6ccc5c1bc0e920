"""Scores of attacks -> the result of an audit: metrics, intervals, comparisons and the table of records; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int64

from raymeter.attacks import Attack
from raymeter.schema.mapped import forget_pages
from raymeter.schema.results import AttackResult, AuditResult
from raymeter.schema.scores import Scores
from raymeter.schema.seeds import seed_for
from raymeter.stats import (
    compare_attacks,
    compare_thresholds,
    dependent_targets,
    group_metrics,
    pooled_auc,
    summarise,
    top_overlap,
)

FPRS = (0.01, 0.001)  # rates whose thresholds are carried over from other targets
TOP_RECORDS = 100


def main_label(attacks: Mapping[str, Attack]) -> str:
    """The label of the main attack: the first that compares the target with references, or else the first.

    Decided once for an audit, before its scores are known: an attack that was chosen by its figure would be reported
    with the luck that chose it.
    """
    return next((label for label, attack in attacks.items() if attack.needs_references), next(iter(attacks)))


def audit_result(
    scores: Sequence[Scores],
    *,
    reference: Bool[np.ndarray, "targets models"],
    labels: Int64[np.ndarray, " examples"] | None,
    thresholds: Mapping[str, Float[np.ndarray, "targets fprs"]],
    groupings: Mapping[str, np.ndarray],
    seed: int,
    main: str,
) -> AuditResult:
    """Everything that is said of scores alone, whoever made them: metrics, thresholds, comparisons, groups, records.

    Args:
        scores: One entry per attack, all on the same records and targets.
        reference: Which model may judge which target; see `dependent_targets`.
        labels: Class of each record, if known.
        thresholds: Per attack and target the thresholds at FPRS that other models suggest; NaN where none do.
        groupings: Per name of a grouping the group of each record.
        seed: Of rank intervals and randomisation tests.
        main: The main attack, see `main_label`; groups are compared by it.

    Returns:
        A result without timings, provenance, power curves and blind baseline; its targets are numbered by their
        columns, see `with_model_numbers`.

    Raises:
        SignalError: A target has no members or no non-members, or a score is NaN.
    """
    clusters = dependent_targets(reference, scores[0].targets)
    attacks, records = summarise(scores, reference, labels, seed=seed_for(seed, "rank intervals"))
    attacks = tuple(_with_thresholds(attack, thresholds[attack.name], clusters) for attack in attacks)
    compared = next(attack for attack in scores if attack.attack == main)
    shuffling = seed_for(seed, "groups")
    return AuditResult(
        attacks=attacks,
        records=records,
        timings={},
        provenance={},
        comparisons=compare_attacks(scores, clusters),
        groups={name: group_metrics(compared, by, clusters, shuffling) for name, by in groupings.items()},
        main=main,
        top_overlap={attack.attack: top_overlap(attack, clusters, TOP_RECORDS) for attack in scores},
    )


def with_model_numbers(
    result: AuditResult, numbers: Int64[np.ndarray, " models"], *, foreign: bool = False
) -> AuditResult:
    """Targets by the numbers of their models, which a report is about, rather than by their columns.

    Args:
        numbers: The number of the model in each column.
        foreign: Whether the targets were trained elsewhere.
    """

    def numbered(attack: AttackResult) -> AttackResult:
        targets = tuple(
            replace(metrics, target=int(numbers[metrics.target]), foreign=foreign) for metrics in attack.targets
        )
        return replace(attack, targets=targets, scores=replace(attack.scores, targets=numbers[attack.scores.targets]))

    return replace(result, attacks=tuple(numbered(attack) for attack in result.attacks))


def _with_thresholds(
    attack: AttackResult, transferred: Float[np.ndarray, "targets fprs"], clusters: Int64[np.ndarray, " targets"]
) -> AttackResult:
    compared = compare_thresholds(attack.scores, transferred, FPRS, clusters)
    complete = replace(attack, thresholds=compared, pooled_auc=pooled_auc(attack.scores))
    forget_pages(attack.scores.values)
    return complete
