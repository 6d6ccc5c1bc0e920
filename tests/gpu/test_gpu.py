"""What only a GPU can show: training, resuming, signals and a whole audit on one.

Without a GPU these tests are skipped; with RAYMETER_REQUIRE_GPU=1 a missing GPU is a failure.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from audits import small_config

from raymeter import audit
from raymeter.data import load_dataset
from raymeter.distributed.training.train_references import attempts
from raymeter.models import build_model
from raymeter.schema.dataset import DataSpec
from raymeter.schema.recipe import Recipe
from raymeter.signals.compute import compute_signals
from raymeter.storage.run_store import RunStore
from raymeter.training.trainer import Trainer, TrainingData, fit

pytestmark = pytest.mark.gpu
GPU, CPU = torch.device("cuda"), torch.device("cpu")
RECIPE = Recipe(
    model="wrn28-1",
    optimizer="SGD",
    learning_rate=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    batch_size=128,
    epochs=3,
    schedule="cosine",
    warmup=0.0,
    augment="mirror_crop",
    ema=0.9,
    precision="bf16",
)


@pytest.fixture(autouse=True)
def a_gpu() -> None:
    """Skip where there is none, unless there must be one."""
    if torch.cuda.is_available():
        return
    if os.environ.get("RAYMETER_REQUIRE_GPU") == "1":
        pytest.fail("RAYMETER_REQUIRE_GPU=1, but torch sees no GPU")
    pytest.skip("no GPU")


def digits(device: torch.device) -> tuple[TrainingData, np.ndarray]:
    """The digits on a device, and half of them as members."""
    dataset = load_dataset(DataSpec("digits", "data", None, None, 100, 0, download=False))
    member = np.random.default_rng(0).permutation(len(dataset.y)) < len(dataset.y) // 2
    return TrainingData.on_device(dataset.x, dataset.y, dataset.num_classes, device), member


def test_a_model_reaches_its_accuracy() -> None:
    """Five epochs of 30,000 Fashion-MNIST images bring the CNN above 86 % on the others."""
    spec = DataSpec("fashion_mnist", os.environ.get("RAYMETER_DATA", "data"), None, 60_000, 1000, 0, download=False)
    dataset = load_dataset(spec)
    member = np.random.default_rng(0).permutation(60_000) < 30_000
    data = TrainingData.on_device(dataset.x, dataset.y, dataset.num_classes, GPU)
    recipe = replace(RECIPE, model="cnn", augment="none", ema=None, precision="float32", epochs=5)
    fitted = fit(Trainer(data, member, recipe, seed=1), lambda trainer: None)
    assert fitted is not None and fitted.test_accuracy > 0.86


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_model_that_resumes_in_mid_epoch_has_the_same_bits(precision: Literal["float32", "bf16"]) -> None:
    """cuDNN's fastest gradients differ from run to run: a resumed model was another one, and so was a repeated audit."""
    data, member = digits(GPU)
    recipe = replace(RECIPE, precision=precision)
    undisturbed = fit(Trainer(data, member, recipe, seed=1), lambda trainer: None)
    first, batches = Trainer(data, member, recipe, seed=1), iter(range(9))
    assert fit(first, lambda trainer: None, lambda: next(batches, None) is not None) is None
    second = Trainer(data, member, recipe, seed=1)
    second.load_state(first.state())
    resumed = fit(second, lambda trainer: None)
    assert undisturbed is not None and resumed is not None
    for name, value in undisturbed.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_signals_are_those_of_a_cpu() -> None:
    """Full float32 on both: TF32, which cuDNN uses unless told not to, would change the third digit."""
    data, _ = digits(CPU)
    torch.manual_seed(0)
    models = [build_model(name, tuple(data.x.shape[1:]), 10) for name in ("cnn", "wrn28-1")]
    x, y = data.x[:500].numpy(), data.y[:500].numpy()
    slow = compute_signals(models, x, y, ("identity", "mirror"), CPU).values
    fast = compute_signals([model.to(GPU) for model in models], x, y, ("identity", "mirror"), GPU).values
    np.testing.assert_allclose(fast, slow, rtol=2e-5, atol=2e-5)


def test_an_audit_shares_a_gpu_between_slots(tmp_path: Path) -> None:
    """Two models at a time on one GPU; the audit finds the leak of overfitted models."""
    train = {"model_name": "cnn", "epochs": 40, "resources_per_model": {"CPU": 1, "GPU": 0.5}}
    config = small_config(tmp_path, train=train, audit={"num_ref_models": 3})
    result = audit(config)
    assert result.provenance["cluster"]["gpus"] >= 1
    slots = {attempt["slot"] for attempt in attempts(RunStore.at(str(tmp_path)))}
    assert len(slots) == 2
    rmia = next(attack for attack in result.attacks if attack.name == "rmia")
    assert rmia.auc.low > 0.5
