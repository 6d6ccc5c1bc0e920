"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import math

import torch
from torch import nn

from raymeter.schema.recipe import Recipe


def learning_rate_at(recipe: Recipe, progress: float) -> float:
    """Learning rate after the given share of all steps, in [0, 1): linear warm-up, then cos(7 pi t / 16).

    The cosine is FixMatch's, used by Carlini et al. (S&P 2022); it ends at 0.195 of the peak.
    """
    if progress < recipe.warmup:
        return recipe.learning_rate * progress / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.learning_rate
    return recipe.learning_rate * math.cos(7 * math.pi * progress / 16)


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer that a recipe names, with its settings, over all parameters of a model."""
    match recipe.optimizer:
        case "SGD":
            return torch.optim.SGD(
                model.parameters(), recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
            )
        case "Adam":
            return torch.optim.Adam(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
        case "AdamW":
            return torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
