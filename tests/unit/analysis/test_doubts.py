"""An audit that found nothing says whether it could have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from results import sample

from raymeter.analysis.doubts import doubts
from raymeter.report.verdict import finding, inconclusive, verdict
from raymeter.schema.results import AuditResult


def audit(low: float, high: float, train: float | None = 0.99, test: float = 0.9) -> AuditResult:
    """One attack with such an interval of its AUC, rates at chance, ten classes, models of such accuracies."""
    plain = sample(("rmia",), records=400)
    attack = plain.attacks[0]
    rates = {rate: replace(mean, estimate=0.0, low=0.0, high=0.01) for rate, mean in attack.tpr_at_fpr.items()}
    quiet = replace(attack, auc=replace(attack.auc, estimate=(low + high) / 2, low=low, high=high), tpr_at_fpr=rates)
    models = [] if train is None else [{"train_accuracy": train, "test_accuracy": test}] * 4
    records = {**plain.records, "label": np.arange(400) % 10}
    return replace(plain, attacks=(quiet,), records=records, provenance={"models": models})


def test_a_sure_audit_of_models_that_learned_is_quiet():
    """A narrow interval around one half, and models that know their members better than others."""
    assert doubts(audit(0.49, 0.51)) == () and finding(audit(0.49, 0.51)) == "quiet"
    assert verdict(audit(0.49, 0.51)).endswith("(rmia with AUC 0.500 [0.490, 0.510]).")


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (audit(0.49, 0.51, train=0.12), "the models hardly learned (training accuracy 0.120, the most frequent class"),
        (
            audit(0.49, 0.51, train=0.91),
            "the models fit their members hardly better than other records (accuracy 0.910",
        ),
        (audit(0.44, 0.56), "an AUC of 0.55 or more is not ruled out (rmia 0.500 [0.440, 0.560]): audit more records"),
        (audit(0.44, 0.56, train=None), "an AUC of 0.55 or more is not ruled out"),
    ],
)
def test_power_is_not_taken_for_safety(result, reason):
    """Regression: models that hardly learned had a green "No leak was measured"."""
    assert finding(result) == "inconclusive" and inconclusive(result)[0].startswith(reason)
    assert f"but this is inconclusive: {reason}" in verdict(result)


def test_a_leak_has_no_doubts():
    """What was found was found, whatever the models learned."""
    result = audit(0.51, 0.6, train=0.12)
    assert finding(result) == "leaks" and inconclusive(result) == ()


def test_rates_that_cannot_be_measured_are_a_doubt():
    """Below 100 non-members no rate is resolved at which a few members might be found with certainty."""
    result = audit(0.49, 0.51)
    attack = result.attacks[0]
    blind = replace(attack, resolvable={rate: float(rate) == 0 for rate in attack.resolvable})
    found = doubts(replace(result, attacks=(blind,)))
    assert found == (
        "no low false-positive rate can be measured with 200 non-members, and at one an attack may find some members "
        "with certainty: audit more records",
    )


def test_scores_that_point_the_wrong_way_are_no_evidence_of_safety():
    """Regression: a gate passed an AUC of 0.2 without a word, and compare called it less leakage."""
    assert finding(audit(0.15, 0.25)) == "reversed"
    assert inconclusive(audit(0.15, 0.25)) == (
        "every attack did worse than chance: look at the direction of the scores",
    )


@pytest.mark.parametrize("other", [0, 5])
def test_scores_that_tell_no_records_apart_are_a_doubt(other):
    """Regression: constant scores, AUC 0.500 [0.491, 0.509], were "No leak was measured" in green."""
    result = audit(0.49, 0.51)
    attack = result.attacks[0]
    values = np.full_like(attack.scores.values, 0.25)
    values[:other] = 1.0
    mute = replace(attack, scores=replace(attack.scores, values=values))
    found = doubts(replace(result, attacks=(mute,)))
    assert len(found) == 1 and found[0].startswith("nearly all records of a target have the same score (rmia 0.25): ")
    assert doubts(replace(result, attacks=(mute, attack))) == ()
