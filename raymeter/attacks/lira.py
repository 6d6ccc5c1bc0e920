"""LiRA: the likelihood of the target's signal under the references that did and did not see the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from raymeter.attacks.attack import Attack
from raymeter.attacks.common.blocks import blocks
from raymeter.attacks.common.checks import require_choice, require_kind, require_references
from raymeter.attacks.common.moments import moments, target_members
from raymeter.attacks.common.predictive_law import Prior, Variance, predictive_law, shared_prior
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, Signals

Mode = Literal["online", "offline"]


@dataclass(frozen=True)
class Lira(Attack):
    """The LiRA attack and its settings."""

    source: ClassVar[str] = (
        "LiRA: likelihood ratio of the signal under models with and without the record. Carlini et al., S&P 2022."
    )
    has_first_pass: ClassVar[bool] = True

    mode: Mode = "online"
    variance: Variance = "nig"

    def __post_init__(self) -> None:
        require_choice("mode", self.mode, Mode)
        require_choice("variance", self.variance, Variance)

    def __call__(self, signals: Signals) -> Scores:
        return lira_scores(signals.audit["logit_gap"], mode=self.mode, variance=self.variance)

    def first_pass(self, signals: Signals) -> LiraWithPriors:
        """The attack with what all records say together, to be called with some of them; see `block_attack`."""
        matrix = signals.audit["logit_gap"]
        _check(matrix, self.mode, self.variance)
        return LiraWithPriors(self, _priors(matrix, self.mode, self.variance))


@dataclass(frozen=True)
class LiraWithPriors:
    """LiRA on some of the records whose shared mean and variances are known; `priors` are OUT and IN per query."""

    attack: Lira
    priors: tuple[tuple[Prior | None, Prior | None], ...]

    def __call__(self, signals: Signals) -> Scores:
        matrix = signals.audit["logit_gap"]
        _check(matrix, self.attack.mode, self.attack.variance)
        return _scores(matrix, self.priors, self.attack.mode, self.attack.variance)


def lira_scores(signals: SignalMatrix, *, mode: Mode = Lira.mode, variance: Variance = Lira.variance) -> Scores:
    """LiRA score of every record against every target; higher means member.

    Online: sum over queries of log p(x | IN) - log p(x | OUT), each side a law fitted to the record's
    signals under the references on that side. Offline: the target's signal as a z-score under OUT,
    averaged over queries, which is the one-sided tail probability without its saturation at 0 and 1.

    Args:
        signals: Kind logit_gap.
        mode: `online` needs references on both sides of every record, `offline` only OUT.
        variance: `per_sample`: each record's own (two references a side at least, 64 models advised);
            `global`: one for all signals of a side; `pooled`: within-record variance pooled over records;
            `nig`: per record, under a normal-inverse-gamma prior centred on the pooled one, which gives
            Student's t laws and suits any number of references.

    Raises:
        SignalError: A record lacks references on a side (it is named), or another kind of signal.
        ValueError: An unknown mode or variance.

    Notes:
        Where the IN variance is the smaller one, the online score falls again for very confident
        targets; that belongs to the likelihood ratio. Variances have a floor of 1e-12. Moments for all
        targets come from products with the reference mask, O(examples x models x targets), by blocks.

    References:
        Carlini, Chien, Nasr, Song, Terzis, Tramer. Membership Inference Attacks From First Principles.
        S&P 2022, arXiv:2112.03570, algorithm 1 and section VI. Normal-inverse-gamma: Brannvall,
        arXiv:2603.11799; conjugate update as in Murphy (2007), with this project's prior values. Wallace's
        normal deviate: Annals of Mathematical Statistics 30 (1959).

    Examples:
        >>> gaps = np.array([[5, 1, 3], [2, 1, 3]], np.float32)  # one target, two references without either record
        >>> member = np.array([[True, False, False], [False, False, False]])
        >>> judges, targets = np.array([[False, True, True]]), np.array([0])
        >>> signals = SignalMatrix("logit_gap", gaps[:, :, None], member, judges, targets=targets)
        >>> lira_scores(signals, mode="offline", variance="per_sample").values.round(2).tolist()  # mean 2, sd 1
        [[3.0], [0.0]]
    """
    Lira(mode, variance)
    _check(signals, mode, variance)
    return _scores(signals, _priors(signals, mode, variance), mode, variance)


def _check(signals: SignalMatrix, mode: Mode, variance: Variance) -> None:
    require_kind(signals, "logit_gap", "LiRA")
    least = 2 if variance == "per_sample" else 1
    remedy = "train more models, or use variance: nig" if variance == "per_sample" else "train more models"
    require_references(signals, "out", least, f"LiRA {mode} {variance}", remedy)
    if mode == "online":
        require_references(signals, "in", least, f"LiRA {mode} {variance}", f"{remedy}, or mode: offline")


def _scores(
    signals: SignalMatrix, priors: tuple[tuple[Prior | None, Prior | None], ...], mode: Mode, variance: Variance
) -> Scores:
    examples, _, queries = signals.values.shape
    total = np.zeros((examples, len(signals.targets)))
    for query, (prior_out, prior_in) in enumerate(priors):
        for rows in blocks(signals):
            values = signals.values[rows, :, query].astype(np.float64)
            target = values[:, signals.targets]
            out = predictive_law(moments(values, ~signals.member[rows], signals.reference), prior_out, variance)
            if mode == "offline":
                total[rows] += out.z_score(target) / queries
            else:
                inside = predictive_law(moments(values, signals.member[rows], signals.reference), prior_in, variance)
                total[rows] += inside.log_density(target) - out.log_density(target)
    settings = {"mode": mode, "variance": variance}
    return Scores("lira", total, target_members(signals), signals.ids, signals.targets, settings)


def _priors(signals: SignalMatrix, mode: Mode, variance: Variance) -> tuple[tuple[Prior | None, Prior | None], ...]:
    """What all records say together of both sides, per query; None where that is not asked for."""

    def prior(query: int, side: str) -> Prior | None:
        if variance == "per_sample" or (side == "in" and mode == "offline"):
            return None
        return shared_prior(signals, lambda rows: signals.values[rows, :, query], side)

    return tuple((prior(query, "out"), prior(query, "in")) for query in range(signals.values.shape[2]))
