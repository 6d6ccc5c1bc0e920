"""Stored signals -> everything a report says of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raymeter.config import AuditConfig
from raymeter.data.groups import load_groups
from raymeter.exposure import record_columns
from raymeter.pages import forget_pages
from raymeter.results import AttackResult, AuditResult, BlindResult
from raymeter.schema import Dataset, Signals, Split
from raymeter.scoring import power_of_all, score_all, thresholds_of_all
from raymeter.split import seed_for
from raymeter.stats import (
    compare_attacks,
    compare_thresholds,
    dependent_targets,
    group_metrics,
    pooled_auc,
    summarise,
    top_overlap,
)
from raymeter.store import RunStore

TRANSFERRED_FPRS = (0.01, 0.001)
TOP_RECORDS = 100


def analyse(config: AuditConfig, dataset: Dataset, split: Split, signals: Signals) -> AuditResult:
    """Stored signals -> scores, metrics, thresholds, records, groups and the checks around them."""
    seed, audited = config.run.random_seed, signals.audit["logit_gap"]
    clusters = dependent_targets(split.reference, split.targets)
    scores = score_all(signals, config.attacks, RunStore.at(config.run.log_dir))
    attacks, table = summarise(scores, split.reference, audited.labels, seed=seed_for(seed, "rank intervals"))
    thresholds = thresholds_of_all(signals, config.attacks, TRANSFERRED_FPRS)
    attacks = tuple(_with_thresholds(attack, thresholds[attack.name], clusters) for attack in attacks)
    main = next((one for one in attacks if getattr(config.attacks[one.name], "needs_references", True)), attacks[0])
    groupings: dict[str, np.ndarray] = {} if audited.labels is None else {"class": audited.labels}
    if config.audit.groups:
        groupings["group"] = load_groups(config.audit.groups, audited.ids)
    shuffling = seed_for(seed, "groups")
    return AuditResult(
        attacks=tuple(_numbered(attack, split) for attack in attacks),
        records=table | record_columns(audited, split.here),
        timings={},
        provenance={},
        comparisons=compare_attacks(scores, clusters),
        power=power_of_all(signals, config.attacks, seed_for(seed, "power")) if config.audit.power_curve else {},
        groups={name: group_metrics(main.scores, by, clusters, shuffling) for name, by in groupings.items()},
        grouped_attack=main.name,
        blind=_ask_blindly(dataset, split, seed) if config.audit.blind_baseline else None,
        top_overlap={one.name: top_overlap(one.scores, clusters, TOP_RECORDS) for one in attacks},
    )


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


def _ask_blindly(dataset: Dataset, split: Split, seed: int) -> BlindResult:
    from raymeter.blind import blind_baseline  # scikit-learn takes a second to load

    return blind_baseline(dataset, split, seed_for(seed, "blind baseline"))
