"""Training on records that are never in memory as a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from recipes import RECIPE as IMAGES
from tables import write

from raymeter.data.readers.parquet import list_tables
from raymeter.data.readers.parquet_streamed import scan
from raymeter.training.streamed_trainer import StreamedData, StreamedTrainer, read_directly
from raymeter.training.trainer import fit

N = 3000
RECIPE = replace(IMAGES, model="mlp", augment="none", batch_size=32)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Labels that one feature decides; the first feature is the record's number."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("data")
    x = rng.normal(size=(N, 4))
    x[:, 0] = np.arange(N) / N
    y = (x[:, 1] > 0).astype(np.int64)
    write(folder, "a.parquet", x, y, 400)
    found = scan(list_tables(str(folder)))
    return StreamedData.of(found.x, found.y, 2, torch.device("cpu"), read_directly(found.x, found.y))


@pytest.fixture(scope="module")
def member():
    return np.random.default_rng(1).random(N) < 0.5


def weights(trainer):
    return [value.clone() for value in trainer.model.state_dict().values()]


def test_an_epoch_sees_every_member_once_in_an_order_of_its_own(data, member):
    """Near-equal batches of all members; another order in every epoch; neighbours are torn apart."""
    trainer = StreamedTrainer(data, member, RECIPE, seed=3)
    orders = []
    for epoch in (0, 1):
        batches = list(trainer._batches(47, np.random.default_rng(epoch)))
        sizes = {len(y) for _, y in batches}
        assert len(batches) == 47 and max(sizes) - min(sizes) <= 1
        orders.append(torch.cat([x[:, 0] for x, _ in batches]).mul(N).round().long().numpy())
        np.testing.assert_array_equal(np.sort(orders[-1]), np.flatnonzero(member))
        assert np.mean(np.abs(np.diff(orders[-1])) < 5) < 0.1
    assert (orders[0] != orders[1]).mean() > 0.9


def test_same_seed_gives_the_same_bits_and_learns(data, member):
    """Two runs agree; the model finds the feature that decides."""
    first, second = (StreamedTrainer(data, member, RECIPE, seed=3) for _ in range(2))
    fitted = fit(first, lambda trainer: None)
    fit(second, lambda trainer: None)
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))
    assert fitted.train_accuracy > 0.8 and fitted.test_accuracy > 0.8


def test_run_that_stops_in_mid_epoch_ends_with_the_same_bits(data, member):
    """The stream is read again up to the batch where it stopped, and nothing is trained twice."""
    whole, stopped = (StreamedTrainer(data, member, RECIPE, seed=3) for _ in range(2))
    fit(whole, lambda trainer: None)
    asked = iter([True] * 7 + [False])
    assert fit(stopped, lambda trainer: None, lambda: next(asked)) is None
    assert (stopped.epoch, stopped.batch) == (0, 7)
    resumed = StreamedTrainer(data, member, RECIPE, seed=3)
    resumed.load_state(stopped.state())
    fit(resumed, lambda trainer: None)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))
