"""How RMIA compares records with a population: by its mean log-ratio, or by the share of it that they dominate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Form = Literal["log_ratio", "count"]


@dataclass(frozen=True)
class PopulationComparison:
    """How log-ratios of records, log p(x | target) - log p(x), are compared with those of the population.

    Args:
        gamma: Dominance threshold, >= 1; moves only the count.
        form: `log_ratio` or `count`.
    """

    gamma: float
    form: Form

    def standard(self, log_z: Float[np.ndarray, "population targets"]) -> np.ndarray:
        """What records are compared with, per target: the population's mean log-ratio, or all of them in order."""
        if self.form == "log_ratio":
            mean: np.ndarray = log_z.mean(axis=0)
            return mean
        ordered = np.ascontiguousarray(log_z.T)
        ordered.sort(axis=1)
        return ordered

    def scores(
        self, log_x: Float[np.ndarray, "examples targets"], standard: np.ndarray
    ) -> Float[np.ndarray, "examples targets"]:
        """Log-ratios of records against what `standard` gave: the difference, or the share dominated."""
        if self.form == "log_ratio":
            difference: np.ndarray = log_x - standard
            return difference
        shares = np.empty(log_x.shape)
        for t, ratios in enumerate(standard):
            shares[:, t] = np.searchsorted(ratios, log_x[:, t] - np.log(self.gamma), side="left") / len(ratios)
        return shares
