"""Our optimizers beside torch's own: equal to the bit, step for step, in every option."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from recipes import RECIPE
from torch import nn

from raymeter.training.optimizer import Optimizer, learning_rate_at

STEPS = 7


def network() -> nn.Module:
    """Layers of several shapes, one that takes part only now and then, one that is frozen, and complex weights."""
    torch.manual_seed(3)
    layers = nn.ModuleDict(
        {
            "a": nn.Linear(6, 5),
            "norm": nn.BatchNorm1d(5),
            "b": nn.Linear(5, 3),
            "rare": nn.Linear(6, 3),
            "frozen": nn.Linear(6, 3),
        }
    )
    layers["frozen"].requires_grad_(False)
    layers.register_parameter("phase", nn.Parameter(torch.randn(3, dtype=torch.complex64)))
    return layers


def loss(layers: nn.Module, x: torch.Tensor, step: int) -> torch.Tensor:
    """Something that depends on the parameters; every other step on those of `rare` too."""
    y = layers["b"](torch.relu(layers["norm"](layers["a"](x)))) + layers["frozen"](x)
    if step % 2:
        y = y + layers["rare"](x)
    return ((y * layers.phase).abs() ** 2).mean()


def torchs_own(layers: nn.Module, recipe) -> torch.optim.Optimizer:
    """The optimizer of torch that a recipe names."""
    if recipe.optimizer == "SGD":
        return torch.optim.SGD(
            layers.parameters(), recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    kind = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}[recipe.optimizer]
    return kind(layers.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_every_step_has_torchs_bits(name, weight_decay, momentum):
    """Also with a learning rate that changes, and after a state was saved and loaded in between."""
    recipe = replace(RECIPE, optimizer=name, weight_decay=weight_decay, momentum=momentum)
    mine, other = network(), network()
    ours, theirs = Optimizer(mine.parameters(), recipe), torchs_own(other, recipe)
    for step in range(STEPS):
        x, rate = (
            torch.randn(8, 6, generator=torch.Generator().manual_seed(step)),
            learning_rate_at(recipe, (step + 1) / STEPS),
        )
        ours.zero_grad()
        loss(mine, x, step).backward()
        ours.step(rate)
        for group in theirs.param_groups:
            group["lr"] = rate
        theirs.zero_grad()
        loss(other, x, step).backward()
        theirs.step()
        for (key, value), expected in zip(mine.named_parameters(), other.parameters(), strict=True):
            assert torch.equal(value, expected), (step, key)
        if step == 3:
            saved = {index: dict(slots) for index, slots in ours.state.items()}
            ours = Optimizer(mine.parameters(), recipe)
            ours.load_state(saved)


def test_states_are_those_of_torch():
    """A checkpoint of an earlier version, which used torch's, goes on."""
    recipe = replace(RECIPE, optimizer="Adam")
    mine, other = network(), network()
    theirs = torchs_own(other, recipe)
    loss(other, torch.ones(8, 6), 1).backward()
    theirs.step()
    ours = Optimizer(mine.parameters(), recipe)
    ours.load_state(theirs.state_dict()["state"])
    for index, slots in theirs.state_dict()["state"].items():
        assert all(torch.equal(ours.state[index][name], value) for name, value in slots.items())


@pytest.mark.parametrize(
    "state",
    [
        {0: {"exp_avg": torch.zeros(5, 6)}},
        {0: {"momentum_buffer": torch.zeros(2)}},
        {99: {"momentum_buffer": torch.zeros(5, 6)}},
    ],
)
def test_a_state_of_something_else_is_refused(state):
    """Of another optimizer, of other shapes, of a larger model."""
    with pytest.raises(RuntimeError):
        Optimizer(network().parameters(), RECIPE).load_state(state)


def test_making_one_does_not_load_torchs_compiler():
    """Which takes longer than many a small model's training."""
    code = (
        "import sys, torch; from recipes import RECIPE; from raymeter.training.optimizer import Optimizer\n"
        "layer = torch.nn.Linear(2, 1); ours = Optimizer(layer.parameters(), RECIPE)\n"
        "layer(torch.ones(1, 2)).backward(); ours.step(0.1)\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, 'tests'); {code}"], check=True)
