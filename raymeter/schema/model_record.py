"""The record of one trained model: how it was made, how well it fits, where its weights are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelRecord:
    """What is known about one finished model; written last, so its existence means done.

    Accuracies are in [0, 1], losses in nats, `seconds` how long training took; `started` and `finished` are seconds
    since 1970. `architecture` is empty where it is what the audit trains.
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
