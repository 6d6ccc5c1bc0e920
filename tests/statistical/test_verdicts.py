"""Where nothing leaks, the verdict of a whole audit says so, however many attacks were tried."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from designs import matrix, pairs

from raymeter.analysis.leak_test import leak_p_values
from raymeter.attacks import calibrated_scores, lira_scores, loss_scores
from raymeter.report.verdict import finding
from raymeter.schema import SignalMatrix
from raymeter.schema.results import AuditResult
from raymeter.stats import benjamini_hochberg, summarise


def audited(seed: int, leak: float) -> AuditResult:
    """Six attacks on 300 records under four pairs of models, and the records that are named."""
    rng, member = np.random.default_rng(seed), pairs(300, 8, seed)
    values = rng.normal(2, 1.5, (300, 1)) + rng.normal(size=(300, 8)) + leak * member
    gaps = matrix(values, member)
    logs = SignalMatrix("log_prob", -np.logaddexp(0, -gaps.values), member)
    scores = [
        lira_scores(gaps),
        lira_scores(gaps, mode="offline"),
        lira_scores(gaps, variance="global"),
        calibrated_scores(gaps),
        calibrated_scores(gaps, form="sablayrolles"),
        loss_scores(logs),
    ]
    labelled = [replace(of_attack, attack=f"attack_{i}") for i, of_attack in enumerate(scores)]
    attacks, _ = summarise(labelled, gaps.reference, None)
    p = leak_p_values(gaps, seed=seed)
    records = {"id": np.arange(300), "p_value": p, "at_risk": benjamini_hochberg(p)}
    return AuditResult(attacks, records, {}, {}, main="attack_0")


def test_audits_of_nothing_are_rarely_called_a_leak():
    """Regression: the best of many intervals, or one named record, was a leak in a quarter of audits without any."""
    found = Counter(finding(audited(seed, 0.0)) for seed in range(50))
    assert found["leaks"] <= 5


def test_audits_with_a_leak_are_called_one():
    """What makes false alarms rare hides no leak: an AUC of 0.6."""
    assert {finding(audited(seed, 0.5)) for seed in range(5)} == {"leaks"}
