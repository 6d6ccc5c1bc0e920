"""Memberships of complementary pairs, and signals with a single view on them."""

from __future__ import annotations

import numpy as np

from raymeter.schema import Scores, SignalMatrix


def pairs(records: int, models: int, seed: int = 0) -> np.ndarray:
    """Memberships of complementary pairs."""
    rng = np.random.default_rng(seed)
    half = np.stack([rng.permutation(records) < records // 2 for _ in range(models // 2)], axis=1)
    return np.stack([half, ~half], axis=2).reshape(records, models)


def matrix(values: np.ndarray, member: np.ndarray) -> SignalMatrix:
    """Signals with a single view."""
    return SignalMatrix("logit_gap", values.astype(np.float32)[:, :, None], member)


def leaky(leak: np.ndarray, seed: int = 0) -> Scores:
    """Complementary pairs of targets; members are higher by each record's leak."""
    rng = np.random.default_rng(seed)
    half = rng.random((len(leak), 4)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(len(leak), 8)
    values = rng.normal(size=member.shape) + leak[:, None] * member
    return Scores("lira", values, member, np.arange(len(leak)), np.arange(8))
