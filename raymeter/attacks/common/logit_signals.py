"""Logits -> other signals than the two that are always stored: pure NumPy, by blocks, in log space.

All are of the form "the more the model prefers the true class, the higher", so every attack reads them astored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64
from scipy.special import log_expit, log_softmax

from raymeter.attacks.common.blocks import BLOCK_CELLS
from raymeter.errors import SignalError
from raymeter.schema.logits import logit_gap
from raymeter.schema.signals import SignalKind, SignalMatrix, Signals

MOST_TAYLOR = 8  # float32's largest logit to the eighth power still fits a float64
Logits = Float[np.ndarray, "cells classes"]
Labels = Int64[np.ndarray, " cells"]


@dataclass(frozen=True)
class Softmax:
    """How probabilities are made of logits: the plain softmax, or one of the variants RMIA was published with.

    Args:
        temperature: Logits are divided by it, > 0.
        taylor: Even degree of the polynomial that stands in for exp; 0 keeps exp. Odd degrees turn negative. An even
            one rises again for very negative logits (degree 4 below -1.6), so that a very confident model scores
            lower than a confident one: the published variant, not a better one.
        margin: Taken off the true class's logit (soft margin), >= 0.
    """

    temperature: float = 1.0
    taylor: int = 0
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < np.inf:
            raise ValueError(f"temperature must be > 0, got {self.temperature}")
        if self.taylor not in range(0, MOST_TAYLOR + 1, 2):
            raise ValueError(f"taylor must be 0 (exp) or an even degree up to {MOST_TAYLOR}, got {self.taylor}")
        if not 0 <= self.margin < np.inf:
            raise ValueError(f"margin must be >= 0, got {self.margin}")

    @property
    def is_plain(self) -> bool:
        """Whether this is the softmax of the stored log_prob."""
        return self == Softmax()


def log_prob_from(logits: Logits, labels: Labels, softmax: Softmax = Softmax()) -> Float[np.ndarray, " cells"]:
    """Log-probability of the true class.

    With weights w (exp, or its Taylor polynomial) of z / T, log p = -log(1 + sum of w_j over j != y / w_y),
    which keeps its digits where p is close to 1.

    References:
        Zarifzadeh, Liu, Shokri, ICML 2024, arXiv:2312.03262, appendix on signals; temperature: their Table of
        softmax variants. Banerjee et al., arXiv:2006.00545 (even-degree Taylor softmax).
    """
    scaled = logits.astype(np.float64) / softmax.temperature
    rows = np.arange(len(scaled))
    scaled[rows, labels] -= softmax.margin
    weights = scaled if not softmax.taylor else np.log(_taylor(scaled, softmax.taylor))
    log_prob: np.ndarray = log_expit(logit_gap(weights, labels))
    return log_prob


def hinge_from(logits: Logits, labels: Labels) -> Float[np.ndarray, " cells"]:
    """True-class logit minus the largest other one (Carlini et al., S&P 2022, section VI-A)."""
    plain = logits.astype(np.float64)
    rows = np.arange(len(plain))
    others = plain.copy()
    others[rows, labels] = -np.inf
    hinge: np.ndarray = plain[rows, labels] - others.max(axis=1)
    return hinge


def neg_entropy_from(logits: Logits, labels: Labels) -> Float[np.ndarray, " cells"]:
    """Sum of p log p over classes: minus the entropy of the prediction; the label is not read."""
    log_prob = log_softmax(logits.astype(np.float64), axis=1)
    entropy: np.ndarray = (np.exp(log_prob) * log_prob).sum(axis=1)
    return entropy


def neg_modified_entropy_from(logits: Logits, labels: Labels) -> Float[np.ndarray, " cells"]:
    """(1 - p_y) log p_y + sum over j != y of p_j log(1 - p_j): minus the modified entropy.

    References:
        Song and Mittal, Systematic Evaluation of Privacy Risks of Machine Learning Models, USENIX Security
        2021, arXiv:2003.10595, eq. 9.
    """
    log_prob = log_softmax(logits.astype(np.float64), axis=1)
    rows = np.arange(len(log_prob))
    # 1 - p loses everything only where p is close to 1, and that is the largest class alone
    top = log_prob.argmax(axis=1)
    log_not = np.log1p(-np.minimum(np.exp(log_prob), 0.75))
    log_not[rows, top] = log_expit(-logit_gap(logits, top))
    own = log_prob[rows, labels]
    terms = np.exp(log_prob) * log_not
    terms[rows, labels] = -np.expm1(own) * own
    modified: np.ndarray = terms.sum(axis=1)
    return modified


FROM_LOGITS: dict[SignalKind, Callable[[Logits, Labels], np.ndarray]] = {
    "hinge": hinge_from,
    "neg_entropy": neg_entropy_from,
    "neg_modified_entropy": neg_modified_entropy_from,
}


def audit_signal(signals: Signals, kind: SignalKind, softmax: Softmax = Softmax()) -> SignalMatrix:
    """A signal of the audited records: stored, or made from their logits (see `population_signal`).

    Examples:
        >>> logits = np.array([[[[2.0, 1.0, 0.0]]], [[[0.0, 3.0, 1.0]]]], np.float32)  # of two records under one model
        >>> stored, member = np.zeros((2, 1, 1), np.float32), np.array([[True], [False]])
        >>> matrix = SignalMatrix("log_prob", stored, member, labels=np.array([0, 2]))
        >>> audit_signal(Signals({"log_prob": matrix}, {}, audit_logits=logits), "hinge").values.ravel().tolist()
        [1.0, -2.0]
    """
    return _signal(signals, "audit", kind, softmax)


def population_signal(signals: Signals, kind: SignalKind, softmax: Softmax = Softmax()) -> SignalMatrix:
    """A signal of the population: stored, or made from its logits.

    Raises:
        SignalError: The logits or labels that it is made of are not there, or an entry is not finite.

    Examples:
        >>> logits = np.array([[[[2.0, 1.0, 0.0]]], [[[0.0, 3.0, 1.0]]]], np.float32)  # of two records under one model
        >>> stored, member = np.zeros((2, 1, 1), np.float32), np.zeros((2, 1), bool)
        >>> matrix = SignalMatrix("log_prob", stored, member, labels=np.array([0, 2]))
        >>> signals = Signals({}, {"log_prob": matrix}, population_logits=logits)
        >>> population_signal(signals, "hinge").values.ravel().tolist()
        [1.0, -2.0]
    """
    return _signal(signals, "population", kind, softmax)


def _signal(signals: Signals, part: Literal["audit", "population"], kind: SignalKind, softmax: Softmax) -> SignalMatrix:
    matrices, logits = (
        (signals.audit, signals.audit_logits) if part == "audit" else (signals.population, signals.population_logits)
    )
    if kind in matrices and (softmax.is_plain or kind != "log_prob"):
        return matrices[kind]
    stored = next(iter(matrices.values()))
    if logits is None or stored.labels is None:
        missing = "logits" if logits is None else "labels"
        raise SignalError(f"{kind} of the {part} is made from {missing}, which are not there; set audit.logits: true")
    return replace(stored, kind=kind, values=_values_by_blocks(logits, stored, kind, softmax))


def _values_by_blocks(logits: np.ndarray, stored: SignalMatrix, kind: SignalKind, softmax: Softmax) -> np.ndarray:
    examples, models, queries, classes = logits.shape
    assert stored.labels is not None
    if len(stored.labels) and not 0 <= stored.labels.min() <= stored.labels.max() < classes:
        raise SignalError(
            f"labels must lie in 0..{classes - 1} for logits of {classes} classes, got "
            f"{stored.labels.min()}..{stored.labels.max()}"
        )
    values = np.empty((examples, models, queries), dtype=np.float32)
    limit = np.finfo(np.float32).max
    step = max(1, BLOCK_CELLS // (models * queries * classes))
    for start in range(0, examples, step):
        block = logits[start : start + step]
        bad = ~np.isfinite(block).all(axis=(1, 2, 3))
        if bad.any():
            first = stored.ids[start + int(bad.argmax())]
            raise SignalError(f"the logits of record {first} are not finite; its model has diverged")
        labels = np.repeat(stored.labels[start : start + step], models * queries)
        cells = block.reshape(-1, classes)
        of_block = log_prob_from(cells, labels, softmax) if kind == "log_prob" else FROM_LOGITS[kind](cells, labels)
        values[start : start + step] = np.clip(of_block, -limit, limit).reshape(len(block), models, queries)
    return values


def _taylor(z: np.ndarray, degree: int) -> np.ndarray:
    """1 + z + z**2 / 2 + ... + z**degree / degree!, by Horner's rule; positive for even degrees."""
    total = np.ones_like(z)
    for k in range(degree, 0, -1):
        total = 1 + z / k * total
    return total
