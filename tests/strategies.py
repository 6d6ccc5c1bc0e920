"""Hypothesis strategies: signals under awkward masks, and scores with ties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raymeter.schema import SignalMatrix

RANGES = {"log_prob": (-40, 0), "logit_gap": (-40, 40)}


@dataclass(frozen=True)
class Masks:
    """Who trained on what and who may judge whom."""

    member: np.ndarray
    reference: np.ndarray
    targets: np.ndarray


@st.composite
def masks(draw: st.DrawFn) -> Masks:
    """Any memberships and references, but at least two IN and two OUT references for every record and target.

    Four models are always references, and each record is in some two of them; these may stand in any
    column. Everything else is free: the numbers of models on the two sides, who judges whom, and how
    many of the other models are targets, in any order.
    """
    examples, free = draw(st.integers(3, 7)), draw(st.integers(1, 4))
    pairs = st.permutations([True, True, False, False])
    sure = np.array([draw(pairs) for _ in range(examples)])
    member = np.hstack([draw(hnp.arrays(bool, (examples, free))), sure])
    targets = np.array(draw(st.permutations(range(free)))[: draw(st.integers(1, free))])
    reference = np.hstack([draw(hnp.arrays(bool, (len(targets), free))), np.ones((len(targets), 4), dtype=bool)])
    reference[np.arange(len(targets)), targets] = False
    order = np.array(draw(st.permutations(range(free + 4))))
    return Masks(member[:, order], reference[:, order], np.argsort(order)[targets].astype(np.int64))


@st.composite
def signal_values(
    draw: st.DrawFn, kind: str, shape: tuple[int, int, int], ties: bool = True, salt: int = 0
) -> np.ndarray:
    """Signals on a grid of quarters, so that ties are common; or without ties."""
    low, high = RANGES[kind]
    if not ties:
        # salted: a record that is also in the population would tie with itself, up to rounding
        rng = np.random.default_rng([draw(st.integers(0, 2**32)), salt])
        return rng.uniform(low / 4, high / 4, shape).astype(np.float32)
    return draw(hnp.arrays(np.int64, shape, elements=st.integers(low, high))).astype(np.float32) / 4


@st.composite
def signal_matrices(draw: st.DrawFn, kind: str, ties: bool = True) -> SignalMatrix:
    """Audited records under any masks that all attacks can work with."""
    found = draw(masks())
    values = draw(signal_values(kind, (*found.member.shape, draw(st.integers(1, 2))), ties))
    ids = np.array(draw(st.permutations(range(100, 100 + len(values)))), dtype=np.int64)
    return SignalMatrix(kind, values, found.member, found.reference, ids, None, found.targets)


@st.composite
def rmia_inputs(draw: st.DrawFn, ties: bool = True) -> tuple[SignalMatrix, SignalMatrix]:
    """Audited records and a population under the same models."""
    audit = draw(signal_matrices("log_prob", ties))
    shape = (draw(st.integers(1, 6)), *audit.values.shape[1:])
    values = draw(signal_values("log_prob", shape, ties, salt=1))
    return audit, SignalMatrix(
        "log_prob", values, np.zeros(shape[:2], dtype=bool), audit.reference, targets=audit.targets
    )


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores, tied or far apart, with at least one member and one non-member."""
    size = draw(st.integers(2, 40))
    few = st.integers(-3, 3).map(float)
    many = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda v: round(v, 3))
    scores = draw(hnp.arrays(np.float64, size, elements=st.one_of(few, many)))
    member = draw(hnp.arrays(bool, size))
    member[draw(st.permutations(range(size)))[:2]] = [True, False]
    return scores, member
