"""The record of one trained model: how it was made, how well it fits, where its weights are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool


@dataclass(frozen=True)
class ModelRecord:
    """What is known about one finished model; written last, so its existence means done.

    Accuracies are in [0, 1], losses in nats, `seconds` how long training took; `started` and `finished` are seconds
    since 1970. `architecture` is empty where it is what the audit trains, as it is in every marker. `data` is the
    sha256 of the pool, `members` that of the records that trained the model; markers of earlier versions lack them.
    """

    index: int
    seed: int
    weights: str
    sha256: str
    recipe: str
    train_accuracy: float
    test_accuracy: float
    train_loss: float
    test_loss: float
    seconds: float
    attempts: int = 1
    node: str = ""
    started: float = 0.0
    finished: float = 0.0
    architecture: str = ""
    data: str = ""
    members: str = ""


@dataclass(frozen=True)
class Origin:
    """What a stored model must have been made of to be the one that is wanted.

    Args:
        recipe: Hash of the recipe.
        seed: The model's own.
        data: sha256 of the pool; empty where the data are not here.
        members: sha256 of the mask of the records that train it; likewise.
    """

    recipe: str
    seed: int
    data: str
    members: str


def members_digest(member: Bool[np.ndarray, " pool"]) -> str:
    """sha256 of the mask of the records that train a model."""
    return hashlib.sha256(f"{len(member)} ".encode() + np.packbits(member).tobytes()).hexdigest()
