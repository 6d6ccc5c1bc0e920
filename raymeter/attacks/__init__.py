"""Membership-inference attacks: stored signals in, scores out; pure NumPy and SciPy.

Every function scores all targets at once, for any membership and reference masks, and every score
means the same: higher = member. ATTACKS maps the names used in YAML to the settings of an attack.
"""

from raymeter.attacks.attack import Attack
from raymeter.attacks.base import Base, base_scores
from raymeter.attacks.calibrated import Calibrated, calibrated_scores
from raymeter.attacks.common.blindness import require_blind
from raymeter.attacks.common.logit_signals import Softmax, audit_signal, population_signal
from raymeter.attacks.empirical import Empirical, empirical_scores
from raymeter.attacks.entropy import Entropy, entropy_scores
from raymeter.attacks.lira import Lira, lira_scores
from raymeter.attacks.loss import Loss, loss_scores
from raymeter.attacks.population import Population, population_scores
from raymeter.attacks.qmia import Qmia, qmia_scores
from raymeter.attacks.rmia import Rmia, rmia_grid, rmia_scores
from raymeter.attacks.stack import Stack, stack_scores

__all__ = [
    "ATTACKS",
    "Attack",
    "Base",
    "Calibrated",
    "Empirical",
    "Entropy",
    "Lira",
    "Loss",
    "Population",
    "Qmia",
    "Rmia",
    "Softmax",
    "Stack",
    "audit_signal",
    "base_scores",
    "calibrated_scores",
    "empirical_scores",
    "entropy_scores",
    "lira_scores",
    "loss_scores",
    "population_scores",
    "population_signal",
    "qmia_scores",
    "regressors_of",
    "require_blind",
    "rmia_grid",
    "rmia_scores",
    "stack_scores",
]

ATTACKS: dict[str, type[Attack]] = {
    "loss": Loss,
    "entropy": Entropy,
    "population": Population,
    "calibrated": Calibrated,
    "empirical": Empirical,
    "lira": Lira,
    "rmia": Rmia,
    "base": Base,
    "qmia": Qmia,
    "stack": Stack,
}


def regressors_of(attacks: list[Attack]) -> list[Qmia]:
    """The different regressors that attacks ask for, also from within a stack.

    Examples:
        >>> [regressor.epochs for regressor in regressors_of([Loss(), Qmia(epochs=5), Stack((Loss(), Qmia(epochs=5)))])]
        [5]
    """
    by_recipe: dict[str, Qmia] = {}
    for attack in attacks:
        parts = attack.of if isinstance(attack, Stack) else (attack,)
        by_recipe |= {part.regressor: part for part in parts if isinstance(part, Qmia)}
    return list(by_recipe.values())
