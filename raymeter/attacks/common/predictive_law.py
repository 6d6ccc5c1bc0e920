"""LiRA's predictive law: what the references say about the next signal of a record, in four kinds of variance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import gammaln

from raymeter.attacks.common.blocks import blocks
from raymeter.attacks.common.moments import Moments, moments
from raymeter.schema.signals import SignalMatrix

Variance = Literal["nig", "per_sample", "global", "pooled"]
VARIANCE_FLOOR = 1e-12
# Normal-inverse-gamma prior: a weak pull of the mean to the global one, four degrees of freedom.
NIG_KAPPA, NIG_ALPHA = 0.05, 2.0


@dataclass(frozen=True)
class Law:
    """Predictive law of a signal: Student's t with `freedom` degrees, or normal where that is infinite."""

    centre: Float[np.ndarray, "examples targets"]
    scale: Float[np.ndarray, "examples targets"]
    freedom: Float[np.ndarray, "examples targets"] | float

    def log_density(self, x: Float[np.ndarray, "examples targets"]) -> Float[np.ndarray, "examples targets"]:
        """Natural logarithm of the law's density at x."""
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


@dataclass(frozen=True)
class Prior:
    """What all records of one side say together, per target.

    `pooled` divides the squares within records by their number, as LiRA does; `unbiased` by the degrees of freedom.
    """

    mean: Float[np.ndarray, " targets"]
    pooled: Float[np.ndarray, " targets"]
    overall: Float[np.ndarray, " targets"]
    unbiased: Float[np.ndarray, " targets"]


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
        block = moments(values(rows).astype(np.float64), mask, signals.reference)
        block_count = block.count.sum(axis=0)
        block_mean = (block.count * block.mean).sum(axis=0) / block_count
        block_within = block.squares.sum(axis=0)
        shift = block_mean - mean
        overall += block_within + (block.count * (block.mean - block_mean) ** 2).sum(axis=0)
        overall += shift**2 * count * block_count / (count + block_count)
        within += block_within
        mean += shift * block_count / (count + block_count)
        count += block_count
        freedom += np.maximum(block.count - 1, 0).sum(axis=0)
    # With one reference a record nothing says how far one record's signals spread; the spread of all
    # signals of the side is then the honest stand-in, where zero would be a claim of certainty.
    pooled = np.where(freedom > 0, within / count, overall / count)
    unbiased = np.where(freedom > 0, within / np.maximum(freedom, 1), overall / count)
    return Prior(mean, pooled, overall / count, unbiased)


def _side(member: Bool[np.ndarray, "examples models"], side: str) -> Bool[np.ndarray, "examples models"]:
    return member if side == "in" else ~member


def predictive_law(own: Moments, prior: Prior | None, variance: Variance) -> Law:
    """Predictive law of a signal, from a record's own moments and what all records say together."""
    if prior is None:
        return Law(own.mean, np.sqrt(own.squares / np.maximum(own.count, 1) + VARIANCE_FLOOR), np.inf)
    if variance in ("global", "pooled"):
        shared = prior.overall if variance == "global" else prior.pooled
        return Law(own.mean, np.broadcast_to(np.sqrt(shared + VARIANCE_FLOOR), own.mean.shape), np.inf)
    kappa = NIG_KAPPA + own.count
    alpha = NIG_ALPHA + own.count / 2
    centre = (NIG_KAPPA * prior.mean + own.count * own.mean) / kappa
    beta = (NIG_ALPHA - 1) * (prior.pooled + VARIANCE_FLOOR) + 0.5 * own.squares
    beta = beta + 0.5 * NIG_KAPPA * own.count * (own.mean - prior.mean) ** 2 / kappa
    return Law(centre, np.sqrt(beta * (kappa + 1) / (alpha * kappa)), 2 * alpha)
