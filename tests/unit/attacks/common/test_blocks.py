"""Attacks by blocks of records give the bits of all records at once, or say that they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymeter.attacks import ATTACKS, Calibrated, Lira, Loss, Qmia, Rmia, Stack
from raymeter.attacks.base import Base
from raymeter.attacks.common.blocks import block_attack, record_blocks, works_in_blocks
from raymeter.errors import SignalError
from raymeter.schema import SignalMatrix, Signals
from raymeter.schema.selection import select
from raymeter.training.split import pair_reference

MODELS, RECORDS = 16, 5_000
LEAST = 2048  # records of a block, a quarter of what attacks work on at once otherwise


@pytest.fixture(scope="module")
def signals():
    """Complementary pairs with a leak, two queries, logits of three classes."""
    rng = np.random.default_rng(0)
    half = rng.random((RECORDS, MODELS // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(RECORDS, MODELS)
    nobody = np.zeros((300, MODELS), dtype=bool)

    def part(side):
        labels = rng.integers(0, 3, len(side))
        gap = (rng.normal(size=(len(side), 1, 1)) + rng.normal(size=(*side.shape, 2)) + side[:, :, None]).astype(
            np.float32
        )
        made = {"log_prob": -np.logaddexp(np.float32(0), -gap), "logit_gap": gap}
        reference = pair_reference(MODELS)
        return {kind: SignalMatrix(kind, v, side, reference, labels=labels) for kind, v in made.items()}

    logits = [rng.normal(size=(n, MODELS, 2, 3)).astype(np.float32) for n in (RECORDS, 300)]
    return Signals(part(member), part(nobody), audit_logits=logits[0], population_logits=logits[1])


WORKING = [make() for make in ATTACKS.values() if works_in_blocks(make())] + [
    Loss("confidence"),
    Calibrated("sablayrolles"),
    Base("offline"),
    Rmia("online"),
    Rmia(form="count", temperature=2.0),
    *(Lira(mode, variance) for mode in ("online", "offline") for variance in ("per_sample", "global", "pooled")),
]


@pytest.mark.parametrize("attack", WORKING, ids=str)
def test_blocks_give_the_bits_of_all_at_once(signals, attack, monkeypatch):
    """Three blocks, put together, equal one call on everything, in which an attack works on three blocks itself."""
    monkeypatch.setattr("raymeter.attacks.common.blocks.BLOCK_CELLS", LEAST * MODELS)
    whole = attack(signals)
    job, blocks = block_attack(attack, signals), record_blocks(signals.audit["logit_gap"], LEAST)
    assert len(blocks) == 3
    parts = [job(select(signals, records=rows)) for rows in blocks]
    np.testing.assert_array_equal(np.concatenate([part.values for part in parts]), whole.values)
    np.testing.assert_array_equal(np.concatenate([part.member for part in parts]), whole.member)
    assert [part.settings for part in parts] == [whole.settings] * 3


@pytest.mark.parametrize("attack", [Qmia(), Stack(), Rmia(offline_a="tuned"), Rmia(temperature="tuned")], ids=str)
def test_attack_that_needs_all_records_says_so(signals, attack):
    """What ranks or tunes over all records is refused in one line with a remedy."""
    assert not works_in_blocks(attack)
    with pytest.raises(SignalError, match=r"needs all records at once; audit fewer \(audit.data_size\), or raise"):
        block_attack(attack, signals)


def test_known_attacks_go_through_blocks():
    """They do not fall back to needing all records at once, as a new attack that declares nothing does."""
    able = {name for name, make in ATTACKS.items() if works_in_blocks(make())}
    assert {"loss", "entropy", "population", "calibrated", "empirical", "lira", "rmia", "base"} <= able


def test_blocks_are_multiples_of_what_attacks_work_on_at_once():
    """Sums inside an attack are over the same records then, however large a block is asked for."""
    matrix = SignalMatrix("logit_gap", np.zeros((20_000, MODELS, 2), np.float32), np.zeros((20_000, MODELS), bool))
    assert [(rows.start, rows.stop) for rows in record_blocks(matrix, 10_000)] == [
        (0, 8192),
        (8192, 16_384),
        (16_384, 20_000),
    ]
    few = replace(matrix, values=matrix.values[:10], member=matrix.member[:10], ids=matrix.ids[:10], labels=None)
    assert record_blocks(few) == [slice(0, 10)]
