"""Where an audit that found nothing says little: models that hardly learned, and intervals that leave room."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from raymeter.analysis.evidence import suspicions
from raymeter.schema.interval_text import interval_text
from raymeter.schema.results import AuditResult

LEARNED = 0.1  # of the way from chance to 1: a model below has hardly learned
REMEMBERED = 0.02  # training accuracy above test accuracy: a model below can hardly tell its members by their fit
MUTE = 0.95  # of the records of every target with one score: an AUC is then near 1/2 whatever leaks
SEEN = 0.55  # an AUC that an audit must be able to rule out
UNSETTLED = ("inconclusive", "reversed")  # findings that are no leak, and no evidence that there is none


def doubts(result: AuditResult) -> tuple[str, ...]:
    """Reasons why no finding would be no evidence of safety: power, not privacy. Empty where there are none.

    Training and test accuracies are means over the audit's own models; where others made the signals there are none.
    """
    return (
        *_of_models(result),
        *_of_scores(result),
        *suspicions(result),
        *_of_intervals(result),
        *_of_rates(result),
    )


def _of_models(result: AuditResult) -> Iterator[str]:
    models = result.provenance.get("models") or []
    if not models:
        return
    train, test = (float(np.mean([model[name] for model in models])) for name in ("train_accuracy", "test_accuracy"))
    labels = result.records.get("label")
    chance = 0.0 if labels is None else float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    if train < chance + LEARNED * (1 - chance):
        yield (
            f"the models hardly learned (training accuracy {train:.3f}, the most frequent class alone gives "
            f"{chance:.3f}): what a trained model leaks was not measured"
        )
    elif train - test < REMEMBERED:
        yield (
            f"the models fit their members hardly better than other records (accuracy {train:.3f} and {test:.3f}): "
            "one that is trained for longer, or on fewer records, may leak"
        )


def _of_intervals(result: AuditResult) -> Iterator[str]:
    widest = max(result.attacks, key=lambda attack: attack.auc.high)
    if widest.auc.high >= SEEN:
        yield (
            f"an AUC of {SEEN} or more is not ruled out ({widest.name} {interval_text(widest.auc)}): audit more "
            "records, or more models"
        )


def _of_scores(result: AuditResult) -> Iterator[str]:
    """Where no attack tells the records apart at all."""
    if all(_mute(column) for attack in result.attacks for column in attack.scores.values.T):
        first = result.attacks[0]
        yield (
            f"nearly all records of a target have the same score ({first.name} {np.median(first.scores.values):.4g}): "
            "scores that tell no records apart find nothing, whatever leaks"
        )


def _mute(scores: np.ndarray) -> bool:
    return bool((scores == np.median(scores)).mean() >= MUTE)


def _of_rates(result: AuditResult) -> Iterator[str]:
    attack = result.attacks[0]
    if not any(attack.resolvable[rate] for rate in attack.tpr_at_fpr if float(rate) > 0):
        others = min(target.non_members for target in attack.targets)
        yield (
            f"no low false-positive rate can be measured with {others} non-member{'s' if others != 1 else ''}, and at "
            "one an attack may find some members with certainty: audit more records"
        )
