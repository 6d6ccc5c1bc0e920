"""Scores of attacks -> the result of an audit: metrics, intervals, comparisons and the table of records; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int64

from raymeter.analysis.record_exposure import FDR, d_prime, leak_p_values, record_columns
from raymeter.errors import SignalError
from raymeter.schema.mapped import forget_pages
from raymeter.schema.results import AttackResult, AuditResult
from raymeter.schema.scores import Scores
from raymeter.schema.seeds import seed_for
from raymeter.schema.signals import SignalMatrix
from raymeter.schema.split import Split
from raymeter.stats import (
    benjamini_hochberg,
    compare_attacks,
    compare_thresholds,
    dependent_targets,
    group_metrics,
    pooled_auc,
    summarise,
    top_overlap,
)

TRANSFERRED_FPRS = (0.01, 0.001)


def _numbered(attack: AttackResult, split: Split) -> AttackResult:
    """Targets by the numbers of their models, which a report is about, rather than by their columns."""
    models, foreign = split.models, split.has_foreign_target
    targets = tuple(replace(each, target=int(models[each.target]), foreign=foreign) for each in attack.targets)
    scores = replace(attack.scores, targets=models[attack.scores.targets])
    return replace(attack, targets=targets, scores=scores)


def _with_thresholds(attack: AttackResult, transferred: np.ndarray, clusters: np.ndarray) -> AttackResult:
    compared = compare_thresholds(attack.scores, transferred, TRANSFERRED_FPRS, clusters)
    found = replace(attack, thresholds=compared, pooled_auc=pooled_auc(attack.scores))
    forget_pages(attack.scores.values)
    return found


FPRS = (0.01, 0.001)
TOP_RECORDS = 100


def _judge(
    scores: Sequence[Scores],
    reference: Bool[np.ndarray, "targets models"],
    labels: Int64[np.ndarray, " examples"] | None,
    thresholds: Mapping[str, Float[np.ndarray, "targets fprs"]],
    groupings: Mapping[str, np.ndarray],
    seed: int,
) -> AuditResult:
    clusters = dependent_targets(reference, scores[0].targets)
    attacks, table = summarise(scores, reference, labels, seed=seed_for(seed, "rank intervals"))
    main = next((one for one in scores if one.attack not in ("loss", "population")), scores[0])
    shuffling = seed_for(seed, "groups")
    return AuditResult(
        attacks=tuple(
            replace(
                one,
                thresholds=compare_thresholds(one.scores, thresholds[one.name], FPRS, clusters),
                pooled_auc=pooled_auc(one.scores),
            )
            for one in attacks
        ),
        records=table,
        timings={},
        provenance={},
        comparisons=compare_attacks(scores, clusters),
        groups={name: group_metrics(main, by, clusters, shuffling) for name, by in groupings.items()},
        grouped_attack=main.attack if groupings else "",
        top_overlap={one.attack: top_overlap(one, clusters, TOP_RECORDS) for one in scores},
    )


def _record_columns(matrix: SignalMatrix) -> tuple[dict[str, np.ndarray], list[str]]:
    """What the table of records says whatever the attack; without LiRA's p-values where references lack."""
    try:
        return record_columns(matrix), []
    except SignalError as error:
        p = leak_p_values(matrix)
        return {"d_prime": d_prime(matrix), "p_value": p, "at_risk": benjamini_hochberg(p, FDR)}, [
            f"without membership_p_value: {error}"
        ]
