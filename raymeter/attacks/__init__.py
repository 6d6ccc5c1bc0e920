"""Membership-inference attacks: stored signals in, scores out; pure NumPy and SciPy.

Every function scores all targets at once, for any membership and reference masks, and every score
means the same: higher = member. ATTACKS maps the names used in YAML to the settings of an attack.
"""

from raymeter.attacks.lira import Lira, lira_scores
from raymeter.attacks.loss import Loss, loss_scores
from raymeter.attacks.rmia import Rmia, rmia_scores

__all__ = ["ATTACKS", "Lira", "Loss", "Rmia", "lira_scores", "loss_scores", "rmia_scores"]

ATTACKS: dict[str, type[Loss] | type[Rmia] | type[Lira]] = {"loss": Loss, "rmia": Rmia, "lira": Lira}
