"""How a model is trained: the settings that decide its weights, and their hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

Augment = Literal["none", "mirror", "mirror_crop"]


@dataclass(frozen=True)
class Recipe:
    """Everything besides data and seed that decides what a trained model is; defaults live in the configuration."""

    model: str
    optimizer: Literal["SGD", "Adam", "AdamW"]
    learning_rate: float
    momentum: float
    weight_decay: float
    batch_size: int
    epochs: int
    schedule: Literal["cosine", "constant"]
    warmup: float
    augment: Augment
    ema: float | None
    precision: Literal["float32", "bf16"]
    fit: str | None = None  # the user's own training function

    @property
    def hash(self) -> str:
        """Short digest over every field; two models with equal hashes were trained the same way."""
        about = {name: value for name, value in asdict(self).items() if name != "fit" or value is not None}
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
