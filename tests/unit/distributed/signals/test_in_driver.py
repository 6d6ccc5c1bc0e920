"""What may be computed in the driver; that its bits are an actor's is tested with a Ray."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raymeter.distributed.signals import in_driver
from raymeter.distributed.signals.worker import SignalWork
from raymeter.schema.model_record import ModelRecord
from raymeter.storage.run_store import RunStore

CPU = {"CPU": 1.0}


@pytest.fixture
def work(tmp_path):
    """Two small models."""
    model = ModelRecord(0, 0, "", "", "", 0.0, 0.0, 0.0, 0.0, 0.0, 1, "", 0.0, 0.0)
    return SignalWork(
        RunStore.at(str(tmp_path)), (model, model), ("mlp", "cnn"), (1, 28, 28), 10, ("identity",), 1, False, 100
    )


def test_small_models_of_raymeters_own_suit_the_driver(work):
    """On CPUs."""
    assert in_driver.suits_driver(work, CPU)


@pytest.mark.parametrize("resources", [{"CPU": 1.0, "GPU": 0.5}, {"CPU": 1.0, "spot": 1.0}])
def test_what_asks_for_more_than_cpus_does_not(work, resources):
    """The driver may have none of it."""
    assert not in_driver.suits_driver(work, resources)


def test_the_users_own_code_does_not(work):
    """It may end its process."""
    assert not in_driver.suits_driver(replace(work, architectures=("mlp", "mine:build")), CPU)


def test_many_weights_do_not(work, monkeypatch):
    """They would all be in the driver's memory; nothing is made to find that out."""
    monkeypatch.setattr(in_driver, "MODELS_BYTES", 10**6)
    assert not in_driver.suits_driver(work, CPU)
