"""log p(x): how likely a record is to models in general, from the references of every target at once."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from raymeter.attacks.common.blocks import blocks
from raymeter.attacks.common.moments import reference_counts
from raymeter.schema.signals import SignalMatrix

Sides = Literal["out", "both"]


def log_prior(signals: SignalMatrix, rows: slice, query: int, sides: Sides) -> Float[np.ndarray, "examples targets"]:
    """Log of the OUT mean probability of one query, or of the average of the IN mean and the OUT mean."""
    log_prob = signals.values[rows, :, query].astype(np.float64)
    out = log_mean_prob(log_prob, ~signals.member[rows], signals.reference)
    if sides == "out":
        return out
    both: np.ndarray = np.logaddexp(out, log_mean_prob(log_prob, signals.member[rows], signals.reference)) - np.log(2)
    return both


def own_and_prior(
    signals: SignalMatrix, query: int, sides: Sides
) -> tuple[Float[np.ndarray, "examples targets"], Float[np.ndarray, "examples targets"]]:
    """log p(x | target), and log of the OUT mean or of both means' average, for one query."""
    own = signals.values[:, signals.targets, query].astype(np.float64)
    prior = np.empty(own.shape)
    for rows in blocks(signals):
        prior[rows] = log_prior(signals, rows, query, sides)
    return own, prior


def offline_prior(
    log_out: Float[np.ndarray, "examples ..."], offline_a: Float[np.ndarray, " *targets"] | float
) -> Float[np.ndarray, "examples ..."]:
    """log of ((1 + a) * out + (1 - a)) / 2, where the IN mean is taken as a * out + (1 - a)."""
    a = np.asarray(offline_a, dtype=np.float64)
    if (a < 0.999).all():  # the floor 1 - a keeps the sum away from zero, and this is the quicker way
        quick: np.ndarray = np.log(np.exp(log_out) * ((1 + a) / 2) + (1 - a) / 2)
        return quick
    with np.errstate(divide="ignore"):  # a = 1 leaves no floor: log 0 is meant
        prior: np.ndarray = np.logaddexp(np.log1p(a) + log_out, np.log(1 - a)) - np.log(2)
    return prior


def log_mean_prob(
    log_prob: Float[np.ndarray, "examples models"],
    side: Bool[np.ndarray, "examples models"],
    reference: Bool[np.ndarray, "targets models"],
) -> Float[np.ndarray, "examples targets"]:
    """Log of the mean probability over the models on one side of each record among each target's references.

    A product with the reference mask does all targets at once; cells in which probabilities underflow
    next to the record's largest are done again in log space.
    """
    top = log_prob.max(axis=1, keepdims=True)
    weight = np.exp(log_prob - top)
    weight *= side
    total = weight @ reference.T.astype(np.float64)
    count = reference_counts(side, reference)
    with np.errstate(divide="ignore"):
        result: np.ndarray = np.log(total)
    result += top
    result -= np.log(np.maximum(count, 1))
    lost = (total < 1e-200) & (count > 0)
    for target in np.flatnonzero(lost.any(axis=0)):
        rows = np.flatnonzero(lost[:, target])
        cells = np.where(side[rows] & reference[target], log_prob[rows], -np.inf)
        result[rows, target] = np.logaddexp.reduce(cells, axis=1) - np.log(count[rows, target])
    return result
