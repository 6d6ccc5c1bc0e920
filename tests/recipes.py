"""How tests train a small model."""

from __future__ import annotations

from raymeter.schema.recipe import Recipe

RECIPE = Recipe(
    model="cnn",
    optimizer="SGD",
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    batch_size=16,
    epochs=3,
    schedule="cosine",
    warmup=0.1,
    augment="mirror",
    ema=None,
    precision="float32",
)
