"""LiRA: the likelihood of the target's signal under the references that did and did not see the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import gammaln

from raymeter.attacks.moments import (
    Moments,
    blocks,
    moments,
    require_choice,
    require_kind,
    require_references,
    target_members,
)
from raymeter.schema import Scores, SignalMatrix, Signals

Mode = Literal["online", "offline"]
Variance = Literal["nig", "per_sample", "global", "pooled"]
VARIANCE_FLOOR = 1e-12
# Normal-inverse-gamma prior: a weak pull of the mean to the global one, four degrees of freedom.
NIG_KAPPA, NIG_ALPHA = 0.05, 2.0


@dataclass(frozen=True)
class Lira:
    """The LiRA attack and its settings."""

    mode: Mode = "online"
    variance: Variance = "nig"

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        require_choice("mode", self.mode, Mode)
        require_choice("variance", self.variance, Variance)

    def __call__(self, signals: Signals) -> Scores:
        return lira_scores(signals.audit["logit_gap"], mode=self.mode, variance=self.variance)

    def first_pass(self, signals: Signals) -> LiraWithPriors:
        """The attack with what all records say together, to be called with some of them; see `blocked`."""
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


@dataclass(frozen=True)
class Law:
    """Predictive law of a signal: Student's t with `freedom` degrees, or normal where that is infinite."""

    centre: Float[np.ndarray, "examples targets"]
    scale: Float[np.ndarray, "examples targets"]
    freedom: Float[np.ndarray, "examples targets"] | float

    def log_density(self, x: Float[np.ndarray, "examples targets"]) -> Float[np.ndarray, "examples targets"]:
        square = ((x - self.centre) / self.scale) ** 2
        if isinstance(self.freedom, float):
            normal: np.ndarray = -0.5 * square - np.log(self.scale) - 0.5 * np.log(2 * np.pi)
            return normal
        nu = self.freedom
        kinds, position = np.unique(nu, return_inverse=True)
        constant = (gammaln((kinds + 1) / 2) - gammaln(kinds / 2) - 0.5 * np.log(kinds * np.pi))[position]
        student: np.ndarray = constant.reshape(nu.shape) - np.log(self.scale) - (nu + 1) / 2 * np.log1p(square / nu)
        return student

    def z_score(self, x: Float[np.ndarray, "examples targets"]) -> Float[np.ndarray, "examples targets"]:
        """Upper tail as a normal deviate; for Student's t by Wallace's approximation, which never saturates."""
        deviate: np.ndarray = (x - self.centre) / self.scale
        if isinstance(self.freedom, float):
            return deviate
        nu = self.freedom
        size = np.sqrt(nu * np.log1p(deviate**2 / nu)) * (8 * nu + 1) / (8 * nu + 3)
        signed: np.ndarray = np.copysign(size, deviate)
        return signed


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


@dataclass(frozen=True)
class Prior:
    """What all records of one side say together, per target.

    `pooled` divides the squares within records by their number, as LiRA does; `unbiased` by the degrees of freedom.
    """

    mean: Float[np.ndarray, " targets"]
    pooled: Float[np.ndarray, " targets"]
    overall: Float[np.ndarray, " targets"]
    unbiased: Float[np.ndarray, " targets"]


def _priors(signals: SignalMatrix, mode: Mode, variance: Variance) -> tuple[tuple[Prior | None, Prior | None], ...]:
    """What all records say together of both sides, per query; None where that is not asked for."""

    def prior(query: int, side: str) -> Prior | None:
        if variance == "per_sample" or (side == "in" and mode == "offline"):
            return None
        return shared_prior(signals, lambda rows: signals.values[rows, :, query], side)

    return tuple((prior(query, "out"), prior(query, "in")) for query in range(signals.values.shape[2]))


def shared_prior(
    signals: SignalMatrix, values: Callable[[slice], Float[np.ndarray, "block models"]], side: str
) -> Prior:
    """Global mean, pooled within-record variance and overall variance of one side, per target.

    Args:
        values: The signals of a range of records: of one query, or averaged over them.

    Blocks are merged as they come (Chan, Golub, LeVeque 1979), so no moments are kept.
    """
    targets = len(signals.targets)
    count, mean, within, overall, freedom = (np.zeros(targets) for _ in range(5))
    for rows in blocks(signals):
        mask = _side(signals.member[rows], side)
        part = moments(values(rows).astype(np.float64), mask, signals.reference)
        part_count = part.count.sum(axis=0)
        part_mean = (part.count * part.mean).sum(axis=0) / part_count
        part_within = part.squares.sum(axis=0)
        shift = part_mean - mean
        overall += part_within + (part.count * (part.mean - part_mean) ** 2).sum(axis=0)
        overall += shift**2 * count * part_count / (count + part_count)
        within += part_within
        mean += shift * part_count / (count + part_count)
        count += part_count
        freedom += np.maximum(part.count - 1, 0).sum(axis=0)
    # With one reference a record nothing tells how far one record's signals spread; the spread of all
    # signals of the side is then the honest stand-in, where zero would be a claim of certainty.
    pooled = np.where(freedom > 0, within / count, overall / count)
    unbiased = np.where(freedom > 0, within / np.maximum(freedom, 1), overall / count)
    return Prior(mean, pooled, overall / count, unbiased)


def _side(member: Bool[np.ndarray, "examples models"], side: str) -> Bool[np.ndarray, "examples models"]:
    return member if side == "in" else ~member


def predictive_law(found: Moments, prior: Prior | None, variance: Variance) -> Law:
    """Predictive law of a signal, from a record's own moments and what all records say together."""
    if prior is None:
        return Law(found.mean, np.sqrt(found.squares / np.maximum(found.count, 1) + VARIANCE_FLOOR), np.inf)
    if variance in ("global", "pooled"):
        shared = prior.overall if variance == "global" else prior.pooled
        return Law(found.mean, np.broadcast_to(np.sqrt(shared + VARIANCE_FLOOR), found.mean.shape), np.inf)
    kappa = NIG_KAPPA + found.count
    alpha = NIG_ALPHA + found.count / 2
    centre = (NIG_KAPPA * prior.mean + found.count * found.mean) / kappa
    beta = (NIG_ALPHA - 1) * (prior.pooled + VARIANCE_FLOOR) + 0.5 * found.squares
    beta = beta + 0.5 * NIG_KAPPA * found.count * (found.mean - prior.mean) ** 2 / kappa
    return Law(centre, np.sqrt(beta * (kappa + 1) / (alpha * kappa)), 2 * alpha)
