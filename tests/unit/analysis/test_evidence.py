"""What counts as found allows for how much was looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from results import sample

from raymeter.analysis.evidence import better_attacks, better_rates, sure_records, suspicions
from raymeter.report.page.data import exposed_table
from raymeter.report.verdict import finding, inconclusive, remarks
from raymeter.schema.results import AttackResult, AuditResult


def attack(name: str, low: float = 0.49, rate_low: float = 0.0) -> AttackResult:
    """AUC 0.51 and a rate of 5 % at an FPR of 1 %, with these lower ends; 400 records, others not resolvable."""
    found = sample((name,), records=400).attacks[0]
    rates = {fpr: replace(mean, estimate=0.05, low=rate_low, high=0.1) for fpr, mean in found.tpr_at_fpr.items()}
    auc = replace(found.auc, estimate=0.51, low=low, high=0.53)
    return replace(found, auc=auc, tpr_at_fpr=rates, resolvable={fpr: fpr == "0.01" for fpr in rates})


def audit(*attacks: AttackResult, records: dict | None = None) -> AuditResult:
    return replace(sample(("rmia",), records=400), attacks=attacks, records=records or {}, main="rmia", provenance={})


def test_the_main_attack_counts_by_its_own_interval():
    """It was decided before its figures were known; of any other one would be above chance by luck."""
    assert [a.name for a in better_attacks(audit(attack("rmia", 0.501), attack("lira", 0.501)))] == ["rmia"]
    assert finding(audit(attack("rmia", 0.501), attack("lira"))) == "leaks"


def test_one_interval_of_many_above_chance_is_inconclusive():
    """Regression: audits of nothing with eleven attacks leaked in a quarter of cases, by the best of 22 intervals."""
    result = audit(attack("rmia"), attack("lira", 0.501))
    assert finding(result) == "inconclusive"
    assert inconclusive(result) == (
        "1 of 4 intervals lies above chance (AUC of lira 0.510 [0.501, 0.530]), as one of so many may by luck: audit "
        "more records, or more models",
    )


def test_what_is_far_above_chance_counts_in_any_attack():
    """Four figures: an interval grows by 1.27 times."""
    assert [a.name for a in better_attacks(audit(attack("rmia"), attack("lira", 0.503)))] == ["lira"]
    assert better_rates(audit(attack("rmia", rate_low=0.014))) == []  # chance is 3 / 201, as luck has it
    found = audit(attack("rmia"), attack("lira", rate_low=0.03))
    assert [(a.name, fpr) for a, fpr in better_rates(found)] == [("lira", "0.01")]
    assert finding(found) == "leaks"


@pytest.mark.parametrize(("smallest", "sure", "said"), [(1e-6, 2, "leaks"), (1.2e-4, 0, "inconclusive")])
def test_named_records_count_where_somebody_is_named_at_one_percent(smallest, sure, said):
    """At 5 % somebody is named in 5 % of audits without a leak."""
    p = np.linspace(0.01, 1, 400)
    p[:2] = smallest
    result = audit(attack("rmia"), records={"id": np.arange(400), "p_value": p, "at_risk": np.arange(400) < 2})
    assert sure_records(result) == sure and finding(result) == said
    line = "2 of 400 records are named at risk at a false discovery rate of 5 %, and nobody would be at 1 %: "
    assert list(suspicions(result)) == ([] if sure else [f"{line}audit more models"])


def test_one_pair_names_nobody_because_it_cannot():
    """Regression: "Records at risk: 0 of 600" where no record had a p-value."""
    p, nobody = np.full(400, np.nan), np.zeros(400, dtype=bool)
    result = audit(attack("rmia"), records={"id": np.arange(400), "p_value": p, "at_risk": nobody})
    assert remarks(result) == ["Records at risk cannot be named: that needs two pairs of models whose signals differ."]
    assert exposed_table(result)["at_risk"] is None
