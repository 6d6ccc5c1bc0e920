"""Room on the disk for what an audit will write."""

from __future__ import annotations

import re

import pytest
import torch
from audits import small_config

from raymeter.data import load_dataset
from raymeter.errors import StoreError
from raymeter.models.build import weights_bytes
from raymeter.pipeline import disk_room
from raymeter.pipeline.checks import make_audit_split
from raymeter.pipeline.disk_room import check_disk_room, checkpoint_bytes
from raymeter.storage.room import is_full_disk
from raymeter.storage.run_store import RunStore
from raymeter.training.optimizer import Optimizer


def test_too_little_room_is_told_before_anything_is_trained(tmp_path, monkeypatch):
    """A full disk showed after the first model, and then after every other: the line says what is needed and what there is."""
    config, store = small_config(tmp_path), RunStore.at(str(tmp_path))
    dataset = load_dataset(config.data_spec())
    split = make_audit_split(config, dataset)
    weights = weights_bytes(config.train.model_name, dataset.x.shape[1:], dataset.num_classes)
    needed = 4 * weights + 2 * weights + 4 * 2 * 4 * (400 + 300) + disk_room.BESIDES
    monkeypatch.setattr(disk_room, "free_bytes", lambda store: needed)
    check_disk_room(config, dataset, split, store)
    monkeypatch.setattr(disk_room, "free_bytes", lambda store: needed - 1)
    said = f"run.log_dir: {re.escape(str(tmp_path))} has room for 12.6 MiB, and this audit needs about 12.6 MiB "
    with pytest.raises(StoreError, match=rf"{said}\(weights of 4 models .*, a checkpoint .*, signals 0.0 MiB\); free"):
        check_disk_room(config, dataset, split, store)
    for index in range(4):
        store.write(f"models/model_{index}.json", b"")
    check_disk_room(config, dataset, split, store)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW"])
def test_a_checkpoint_takes_what_an_optimizer_keeps(optimizer, tmp_path):
    """Nearly: Adam counts its steps besides."""
    recipe = small_config(tmp_path, train={"optimizer": optimizer, "momentum": 0.9}).train.recipe()
    model = torch.nn.Linear(100, 100)
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    optimizer = Optimizer(model.parameters(), recipe)
    model(torch.ones(1, 100)).sum().backward()
    optimizer.step(0.1)
    kept = [value.nbytes for state in optimizer.state.values() for value in state.values()]
    assert checkpoint_bytes(weights, recipe) == pytest.approx(weights + sum(kept), rel=0.001)


def test_a_full_disk_is_known_behind_its_message(tmp_path):
    """Also where the error that was raised says it in words alone."""
    for number, full in ((28, True), (13, False)):
        try:
            try:
                raise OSError(number, "words")
            except OSError:
                raise StoreError("cannot be written") from None
        except StoreError as error:
            assert is_full_disk(error) is full
