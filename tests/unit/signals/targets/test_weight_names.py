"""Names of weights: the model's own first, then what a wrapper made of them; the line names the prefix."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from raymeter.errors import DataError
from raymeter.signals.targets.weight_names import match_names


def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))


class HasModule(nn.Module):
    """A model whose only layer is called `module`."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.module = nn.Linear(2, 3)


class Lightning(nn.Module):
    """A training module with a model and a loss that has weights, too."""

    def __init__(self, network):
        super().__init__()
        self.model = network
        self.criterion = nn.CrossEntropyLoss(weight=torch.ones(3))


def compiled(network):
    return torch.compile(network, backend="eager")


def inner_compiled(network):
    network[0] = compiled(network[0])
    return network


def renamed(network, prefix):
    return {prefix + name: value for name, value in network.state_dict().items()}


def match(weights, network):
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    return match_names(weights, wanted, "FILE", "MODEL")


@pytest.mark.parametrize("build", [plain, HasModule])
@pytest.mark.parametrize(
    ("saved", "start"),
    [
        (lambda m: m.state_dict(), ""),
        (lambda m: renamed(m, "module."), "module."),
        (lambda m: renamed(m, "_module."), "_module."),
        (lambda m: renamed(m, "model."), "model."),
        (lambda m: renamed(m, "_orig_mod.module."), "_orig_mod.module."),
        (lambda m: renamed(m, "module._orig_mod."), "module._orig_mod."),
        (lambda m: renamed(m, "state.network."), "state.network."),
        (lambda m: compiled(m).state_dict(), "_orig_mod."),
        (lambda m: nn.DataParallel(m).state_dict(), "module."),
        (lambda m: compiled(nn.DataParallel(m)).state_dict(), "_orig_mod.module."),
        (lambda m: AveragedModel(m).state_dict(), "module."),
        (lambda m: AveragedModel(nn.DataParallel(m)).state_dict(), "module.module."),
        (lambda m: Lightning(m).state_dict(), "model."),
        (lambda m: Lightning(compiled(m)).state_dict(), "model._orig_mod."),
    ],
)
def test_weights_of_wrapped_models_are_found(build, saved, start):
    """Also where the model has a layer of the wrapper's name; the note says what the names begin with."""
    weights = saved(build())
    found = match(weights, build())
    assert {name: value.tolist() for name, value in found.weights.items()} == {
        name: value.tolist() for name, value in build().state_dict().items()
    }
    assert (f"begin with {start!r}" in found.note) if start else (found.note == "")
    assert ("left out" in found.note) == any(name in weights for name in ("n_averaged", "criterion.weight"))


def test_wrappers_within_names_and_around_the_model_are_looked_through():
    """One layer was compiled, or what builds the model wraps it."""
    weights = plain().state_dict()
    for network in (
        inner_compiled(plain()),
        compiled(plain()),
        nn.DataParallel(plain()),
        compiled(nn.DataParallel(plain())),
    ):
        assert [v.tolist() for v in match(weights, network).weights.values()] == [v.tolist() for v in weights.values()]
        assert match(network.state_dict(), plain()).weights.keys() == weights.keys()
        network.load_state_dict(dict(match(weights, network).weights))


@pytest.mark.parametrize(
    ("network", "weights", "note"),
    [
        (
            plain,
            lambda: inner_compiled(plain()).state_dict(),
            "the 9 weights are found by their names without '_orig_mod.'",
        ),
        (
            plain,
            lambda: {k.replace("0.", "0._fsdp_wrapped_module."): v for k, v in plain().state_dict().items()},
            "the 9 weights are found by their names without '_fsdp_wrapped_module.'",
        ),
        (
            lambda: nn.DataParallel(plain()),
            lambda: plain().state_dict(),
            "the 9 weights are those of the model that is wrapped",
        ),
    ],
)
def test_a_note_names_what_was_looked_through(network, weights, note):
    """It said that names "begin with ''"."""
    assert match(weights(), network()).note == note


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (dict, "FILE does not fit MODEL: 0.weight is missing, and 8 more; name what builds the target as"),
        (lambda: {"module.0.weight": torch.ones(4, 2)}, "0.bias is missing, and 7 more, below the prefix 'module.';"),
        (
            lambda: {**renamed(plain(), "module._orig_mod."), "module._orig_mod.9.bias": torch.ones(1)},
            "9.bias is not of it, below the prefix 'module._orig_mod.';",
        ),
        (
            lambda: {**renamed(plain(), "model."), "model.2.bias": torch.ones(5)},
            "2.bias is [5], not [3], below the prefix 'model.';",
        ),
        (
            lambda: {"module.conv.weight": torch.ones(1), "module.conv.bias": torch.ones(1)},
            "0.weight is missing, and 10 more, below the prefix 'module.';",
        ),
        (
            lambda: {**renamed(plain(), "model."), **renamed(plain(), "ema_model.module.")},
            "FILE holds MODEL 2 times, below 'ema_model.module.' and 'model.'; save the one that is meant alone",
        ),
        (lambda: {**plain().state_dict(), "3.bias": torch.ones(1)}, "MODEL: 3.bias is not of it; name what builds"),
    ],
)
def test_what_does_not_fit_is_named_with_its_prefix(weights, message):
    """The name as the model has it, and what was left out before it."""
    with pytest.raises(DataError) as error:
        match(weights(), plain())
    assert message in str(error.value)
    assert "\n" not in str(error.value)
