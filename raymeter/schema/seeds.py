"""A seed of its own for every random choice, derived from the one of the configuration."""

from __future__ import annotations

import hashlib


def seed_for(seed: int, what: str, index: int = 0) -> int:
    """Derive an independent 63-bit seed from (seed, what, index); stable across platforms and versions."""
    digest = hashlib.sha256(f"{seed}/{what}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def model_seed(seed: int, index: int) -> int:
    """The seed of one model: its initial weights, batch order, augmentation and dropout."""
    return seed_for(seed, "model", index)
