"""The same audit with fewer references: nested, seeded, and equal to the audit itself at the end."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.analysis.power_curve import power_curve
from raymeter.attacks import Calibrated, Lira, Rmia
from raymeter.schema import SignalMatrix, Signals
from raymeter.stats import summarise
from raymeter.training.split import pair_reference


def signals(models: int = 16, records: int = 300, reference: np.ndarray | None = None) -> Signals:
    """Complementary pairs of hard and easy records that leak."""
    rng = np.random.default_rng(0)
    half = rng.random((records, models // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(records, models)
    reference = pair_reference(models) if reference is None else reference

    def kinds(member: np.ndarray) -> dict[str, SignalMatrix]:
        gap = (3 * rng.normal(size=(len(member), 1)) + rng.normal(size=member.shape) + member).astype(np.float32)
        both = {"logit_gap": gap, "log_prob": -np.logaddexp(np.float32(0), -gap)}
        return {kind: SignalMatrix(kind, v[:, :, None], member, reference) for kind, v in both.items()}

    return Signals(kinds(member), kinds(np.zeros((50, models), dtype=bool)))


@pytest.mark.parametrize("attack", [Calibrated(), Lira(), Rmia()], ids=str)
def test_power_curve_ends_with_the_audit_itself(attack):
    """Seven pairs judge each of 16 targets: points at 1, 2, 4 and 7, the last equal to the whole audit."""
    found = signals()
    points = power_curve(attack, found, seed=0)
    assert [point.references for point in points] == [1, 2, 4, 7]
    (whole,), _ = summarise([attack(found)], pair_reference(16), None)
    assert points[-1].auc == whole.auc
    assert points[-1].tpr == whole.tpr_at_fpr["0.001"]
    assert not points[-1].resolvable


def test_more_references_find_more():
    """With records of differing difficulty, calibration by one reference is noisier than by seven."""
    points = power_curve(Calibrated(), signals(records=1000), seed=0)
    assert points[0].auc.high < points[-1].auc.low


def test_units_are_complementary_pairs_and_orders_are_nested():
    """The references of a point are whole pairs and include those of the points before it."""
    seen: list[np.ndarray] = []

    def watched(found: Signals):
        seen.append(found.audit["logit_gap"].reference)
        return Calibrated()(found)

    power_curve(watched, signals(), seed=0)
    for reference, count in zip(seen, (1, 2, 4, 7), strict=True):
        assert (reference.sum(axis=1) == 2 * count).all()
        assert (reference[:, ::2] == reference[:, 1::2]).all()
        assert not (reference & ~pair_reference(16)).any()
    for fewer, more in zip(seen, seen[1:], strict=False):
        assert not (fewer & ~more).any()
    again: list[np.ndarray] = []
    power_curve(
        lambda found: again.append(found.audit["logit_gap"].reference) or Calibrated()(found), signals(), seed=1
    )
    assert (again[0] != seen[0]).any()


def test_numbers_with_which_an_attack_cannot_run_are_left_out():
    """Per-sample LiRA needs two references a side: its curve starts at two pairs."""
    points = power_curve(Lira("online", "per_sample"), signals(), seed=0)
    assert [point.references for point in points] == [2, 4, 7]
