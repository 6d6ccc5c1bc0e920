"""Memberships of complementary pairs, and signals with a single view on them."""

from __future__ import annotations

import numpy as np

from raymeter.schema import SignalMatrix


def pairs(records: int, models: int, seed: int = 0) -> np.ndarray:
    """Memberships of complementary pairs."""
    rng = np.random.default_rng(seed)
    half = np.stack([rng.permutation(records) < records // 2 for _ in range(models // 2)], axis=1)
    return np.stack([half, ~half], axis=2).reshape(records, models)


def matrix(values: np.ndarray, member: np.ndarray) -> SignalMatrix:
    """Signals with a single view."""
    return SignalMatrix("logit_gap", values.astype(np.float32)[:, :, None], member)
