"""Which figures of a result are better than chance, allowing for how many were looked at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy

from raymeter.schema.interval_text import HasInterval, interval_text
from raymeter.schema.results import AttackResult, AuditResult
from raymeter.stats import benjamini_hochberg
from raymeter.stats.figures import NORMAL_95
from raymeter.stats.tpr import chance_rate

SURE_FDR = 0.01  # records that are named at this rate are a finding; at 5 % somebody is, in 5 % of audits of nothing


def better_attacks(result: AuditResult) -> list[AttackResult]:
    """Attacks whose mean AUC is surely above one half.

    The main attack was decided before its figures were known, so its 95 % interval counts as it is. Of all others one
    would be above by luck: their intervals are widened, as Bonferroni has it, for as many figures as are looked at.
    """
    main, widening = result.main_attack, _widening(result)
    return [attack for attack in result.attacks if _low(attack.auc, 1.0 if attack is main else widening) > 0.5]


def better_rates(result: AuditResult) -> list[tuple[AttackResult, str]]:
    """Attacks and rates at which they surely find more than chance, allowing for all that are looked at."""
    widening = _widening(result)
    return [
        (attack, fpr)
        for attack in result.attacks
        for fpr in resolvable_rates(attack)
        if _low(attack.tpr_at_fpr[fpr], widening) > chance_at(attack, fpr)
    ]


def sure_records(result: AuditResult) -> int:
    """How many records are named at risk; 0 where nobody would be at a false discovery rate of 1 %."""
    if "p_value" not in result.records or not (named := _named(result)):
        return 0
    p = result.records["p_value"].astype(np.float64)
    return named if benjamini_hochberg(p, SURE_FDR).any() else 0


def _named(result: AuditResult) -> int:
    return int(np.sum(result.records["at_risk"])) if "at_risk" in result.records else 0


def untestable(result: AuditResult) -> bool:
    """Whether no record has a p-value, so that none could be named whatever leaks."""
    p = result.records.get("p_value")
    return p is not None and bool(np.isnan(p.astype(np.float64)).all())


def suspicions(result: AuditResult) -> Iterator[str]:
    """A line for what looks better than chance by itself, and is not sure to be when so much was looked at."""
    above = [f"AUC of {a.name} {interval_text(a.auc)}" for a in result.attacks if a.auc.low > 0.5]
    for attack in result.attacks:
        for fpr in resolvable_rates(attack):
            if attack.tpr_at_fpr[fpr].low > chance_at(attack, fpr):
                rate = interval_text(attack.tpr_at_fpr[fpr], 2, factor=100)
                above.append(f"TPR of {attack.name} at {100 * float(fpr):.4g} % FPR {rate} %")
    if above:
        yield (
            f"{len(above)} of {_looked_at(result)} intervals {'lies' if len(above) == 1 else 'lie'} above chance "
            f"({', '.join(above[:3])}{', ...' if len(above) > 3 else ''}), as one of so many may by luck: audit more "
            "records, or more models"
        )
    if (named := _named(result)) and not sure_records(result):
        yield (
            f"{named} of {len(result.records['id'])} records {'is' if named == 1 else 'are'} named at risk at a false "
            "discovery rate of 5 %, and nobody would be at 1 %: audit more models"
        )


def resolvable_rates(attack: AttackResult) -> list[str]:
    """Without 0: what chance reaches there depends on the number of non-members."""
    return [fpr for fpr in attack.tpr_at_fpr if attack.resolvable[fpr] and float(fpr) > 0]


def chance_at(attack: AttackResult, fpr: str) -> float:
    """What scores that say nothing reach on average: a little more than the rate itself, see `chance_rate`."""
    return chance_rate(float(fpr), min(target.non_members for target in attack.targets))


def _looked_at(result: AuditResult) -> int:
    """How many figures are held against chance."""
    return sum(1 + len(resolvable_rates(attack)) for attack in result.attacks)


def _widening(result: AuditResult) -> float:
    """By how much a 95 % interval grows so that as many of them hold together."""
    return float(scipy.stats.norm.isf(0.025 / _looked_at(result))) / NORMAL_95


def _low(figure: HasInterval, widening: float) -> float:
    return figure.estimate - widening * (figure.estimate - figure.low)
