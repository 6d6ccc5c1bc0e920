"""Architectures: shapes, sizes, seeds and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raymeter.errors import ConfigError
from raymeter.models import MODELS, build_model

KNOWN = "mlp, tabular, cnn, alexnet, vgg16, resnet18, wrn28-1, wrn28-2, wrn28-10, or module:function"
IMAGES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (4, 40, 96), (3, 224, 224)]
FAST = ["mlp", "cnn"]


def tiny(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return nn.Linear(input_shape[0], num_classes)


def broken(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    raise ValueError("no such width\nreally")


def forgetful(input_shape: tuple[int, ...], num_classes: int) -> None:
    return None


def lazy(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(input_shape[0], 4), nn.LazyLinear(num_classes))


@pytest.fixture(autouse=True)
def one_thread():
    """Leave the other cores to whoever else is testing."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_build_model_logits(name, shape):
    """Every architecture maps a batch of every image size to one logit per class (shapes only: no arithmetic)."""
    with torch.device("meta"):
        model = build_model(name, shape, 7)
        assert model(torch.zeros(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("name", FAST)
def test_build_model_smallest_images(name):
    """The smallest allowed images train."""
    model = build_model(name, (1, 4, 5), 3)
    model(torch.randn(2, 1, 4, 5)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_mlp_takes_features():
    """The mlp is for records of any shape."""
    assert build_model("mlp", (600,), 100)(torch.zeros(2, 600)).shape == (2, 100)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wrn28-1", 369_498),
        ("wrn28-2", 1_467_610),
        ("wrn28-10", 36_479_194),
        ("resnet18", 11_173_962),
        ("vgg16", 14_990_922),
        ("mlp", 1_738_890),
    ],
)
def test_build_model_parameter_counts(name, expected):
    """Sizes at 3x32x32 and 10 classes; the WRN ones are the published 0.4, 1.5 and 36.5 million."""
    with torch.device("meta"):
        assert parameters(build_model(name, (3, 32, 32), 10)) == expected


@pytest.mark.parametrize("name", ["mlp", "cnn", "alexnet", "wrn28-1"])
def test_build_model_follows_the_global_seed(name):
    """Equal seeds give equal weights, other seeds others; the state is nothing but tensors."""
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_model(name, (1, 8, 8), 10).state_dict())
    assert all(isinstance(value, torch.Tensor) for value in states[0].values())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_vgg16_initialises_its_convolutions_as_torchvision_does():
    """He's initialisation (fan out) and zero biases, also for the first layer of grey images."""
    torch.manual_seed(0)
    first = build_model("vgg16", (1, 28, 28), 10)[0][0]
    assert first.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)
    assert not first.bias.any()


@pytest.mark.parametrize("name", ["CNN", "WRN28-1", "Mlp"])
def test_build_model_ignores_case(name):
    """Privacy Meter writes CNN."""
    assert parameters(build_model(name, (1, 8, 8), 10)) == parameters(build_model(name.lower(), (1, 8, 8), 10))


def test_build_model_custom_function():
    """module:function is called with the shape and the number of classes."""
    assert parameters(build_model(f"{__name__}:tiny", (5,), 3)) == 18


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("resnet-18", (3, 32, 32), f"unknown model 'resnet-18'; did you mean resnet18? known are {KNOWN}"),
        ("zzz", (3, 32, 32), f"unknown model 'zzz'; known are {KNOWN}"),
        ("cnn", (600,), "cnn needs images, and records have shape (600,); use tabular or mlp"),
        ("vgg16", (1, 7, 9), "vgg16 needs images of at least 8x8, got 7x9; use cnn, wrn28-2 or mlp"),
        ("cnn", (1, 3, 9), "cnn needs images of at least 4x4, got 3x9; use mlp"),
        (f"{__name__}:KNOWN", (5,), f"{__name__}:KNOWN is str; give a function that builds a model"),
        (f"{__name__}:forgetful", (5,), f"{__name__}:forgetful returned NoneType; return a torch.nn.Module"),
        (f"{__name__}:lazy", (5,), f"{__name__}:lazy has lazy layers; give them their sizes, from (5,)"),
        ("__main__:f", (5,), "__main__:f is of this session, and workers do not have it; write it to a file"),
        (
            f"{__name__}:broken",
            (5,),
            f"{__name__}:broken raised ValueError: no such width; it is called with (input_shape, num_classes) = "
            "((5,), 3)",
        ),
        (
            "no_such_module:f",
            (5,),
            "cannot load 'no_such_module:f' (ModuleNotFoundError: No module named 'no_such_module'); write "
            "module:function, with the module importable from here",
        ),
    ],
)
def test_build_model_refuses(name, shape, message):
    """Unknown names, records that do not fit and unusable functions are told in one line with the key."""
    with pytest.raises(ConfigError) as error:
        build_model(name, shape, 3)
    assert str(error.value) == f"train.model_name: {message}"
