"""Curves and pictures: nothing is lost at low false-positive rates, averages are right, PNGs are whole."""

from __future__ import annotations

import io
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from raymeter.report.curves import Line, average_lines, fpr_grid, step_tpr, target_lines
from raymeter.report.roc_pictures import RocPicture, write_pictures
from raymeter.schema import Scores
from raymeter.schema.results import AttackResult, AuditResult
from raymeter.stats import roc_curve, summarise
from raymeter.stats.roc import EXACT_FPRS, thin


def audit(values: np.ndarray, member: np.ndarray, *names: str) -> tuple[AttackResult, ...]:
    """Attacks that all have these scores [examples, targets]; any target may judge any other."""
    ids, targets = np.arange(len(values)), np.arange(values.shape[1])
    reference = ~np.eye(len(targets), dtype=bool)
    return summarise([Scores(name, values, member, ids, targets) for name in names], reference, None)[0]


def noisy(records: int, targets: int, *names: str) -> tuple[AttackResult, ...]:
    """Attacks with normal scores, one standard deviation higher for members."""
    rng = np.random.default_rng(1)
    member = rng.permuted(np.tile(np.arange(records) % 2 == 0, (targets, 1)), axis=1).T
    return audit(rng.normal(size=member.shape) + member, member, *names)


def tied_curve(records: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A ROC curve of scores with some ties."""
    rng = np.random.default_rng(seed)
    member = rng.random(records) < 0.5
    return roc_curve(np.round(rng.normal(size=records) + member, 3), member)[:2]


@pytest.mark.parametrize("records", [10, 400, 3000, 40000])
def test_thinning_keeps_the_low_steps_exactly(records):
    """Up to the 200th achievable FPR the thinned step curve is the full one; what remains are its vertices."""
    rng = np.random.default_rng(records)
    member = rng.random(records) < 0.5
    fpr, tpr, _ = roc_curve(rng.normal(size=records) + member, member)
    few_fpr, few_tpr = thin(fpr, tpr)
    low = np.unique(fpr)[:EXACT_FPRS]
    assert np.array_equal(step_tpr(few_fpr, few_tpr, low), step_tpr(fpr, tpr, low))
    between = (low[1:] + low[:-1]) / 2
    assert np.array_equal(step_tpr(few_fpr, few_tpr, between), step_tpr(fpr, tpr, between))
    assert set(zip(few_fpr, few_tpr, strict=True)) <= set(zip(fpr, tpr, strict=True))
    assert few_fpr[0] == 0
    assert (few_fpr[-1], few_tpr[-1]) == (1, 1)
    assert (np.diff(few_fpr) > 0).all()
    assert len(few_fpr) <= 960


def test_thinning_moves_no_point_visibly():
    """Between the vertices that remain, the curve is off by less than 0.5 % of the axis, 2.5 pixels."""
    fpr, tpr = tied_curve(200_000)
    grid = np.linspace(0, 1, 5000)
    assert np.abs(step_tpr(*thin(fpr, tpr), grid) - step_tpr(fpr, tpr, grid)).max() < 0.005


def test_step_rule_takes_the_highest_rate_allowed():
    """Vertices at one FPR count with the highest TPR, and an FPR between two vertices gets the lower one."""
    fpr, tpr = np.array([0, 0, 0, 0.5, 1]), np.array([0, 0.1, 0.3, 0.6, 1])
    assert step_tpr(fpr, tpr, np.array([0, 0.4, 0.5, 0.9, 1])).tolist() == [0.3, 0.3, 0.6, 0.6, 1]


@pytest.mark.parametrize("non_members", [1, 3, 150, 600, 10_000])
def test_grid_holds_every_low_rate(non_members):
    """The grid runs from 0 to 1 over multiples of 1/n, the first 200 of them without a gap."""
    counts = fpr_grid(non_members) * non_members
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    assert np.round(counts[: EXACT_FPRS + 1]).tolist() == list(range(min(EXACT_FPRS, non_members) + 1))
    assert (counts[0], counts[-1]) == (0, non_members)


def test_average_is_the_mean_of_the_steps():
    """Two targets with two non-members each, by hand: means 3/4, 1, 1 and standard deviations 1/sqrt(8), 0, 0."""
    member = np.array([[1, 1], [1, 1], [0, 0], [0, 0]], dtype=bool)
    values = np.array([[4, 4], [3, 2], [2, 3], [1, 1]], dtype=float)
    (line,) = average_lines(audit(values, member, "rmia"))
    assert line.fpr.tolist() == [0, 0.5, 1]
    assert line.tpr.tolist() == [0.75, 1, 1]
    np.testing.assert_allclose(line.low, [0.75 - np.sqrt(1 / 8), 1, 1])
    np.testing.assert_allclose(line.high, [1, 1, 1])


def test_one_target_has_no_band():
    """A standard deviation between targets needs two."""
    (line,) = average_lines(noisy(50, 1, "rmia"))
    assert line.low is None
    assert line.high is None


def test_labels_name_attack_and_interval():
    """The legend of a target shows that target's AUC, the average's legend the mean."""
    attacks = noisy(200, 2, "loss", "rmia")
    auc = attacks[1].targets[1].auc
    assert target_lines(attacks, 1)[1].label == f"rmia  {auc.estimate:.3f} [{auc.low:.3f}, {auc.high:.3f}]"
    assert average_lines(attacks)[0].label.startswith(f"loss  {attacks[0].auc.estimate:.3f} [")


@pytest.mark.parametrize("names", [("rmia",), ("loss", "_odd/$x^{", "[b]lira"), tuple(f"attack{i}" for i in range(12))])
def test_pictures_are_whole_pngs(names):
    """Every picture decodes and has the same size; names with markup or formulas in them do no harm."""
    attacks = noisy(60, 2, *names)
    files = dict(write_pictures(AuditResult(attacks, {}, {}, {})))
    assert len(files) == 6
    for data in files.values():
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", data[16:24]) == (640, 580)
        with Image.open(io.BytesIO(data)) as picture:
            assert len(picture.convert("L").getcolors()) > 20


def test_extreme_curves_can_be_drawn():
    """A perfect, a useless and an inverted attack, on one non-member or many, log axes included."""
    perfect = Line("perfect", np.array([0.0, 1]), np.array([1.0, 1]))
    useless = Line("useless", np.array([0.0, 1]), np.array([0.0, 1]), np.array([0.0, 0]), np.array([0.0, 1]))
    inverted = Line("inverted", np.array([0.0, 1, 1]), np.array([0.0, 0, 1]))
    for log in (False, True):
        picture = RocPicture(3, log)
        for non_members in (1, 7, 1_000_000):
            assert picture.draw([perfect, useless, inverted], "x", non_members).startswith(b"\x89PNG")


def test_a_reused_picture_keeps_nothing():
    """Drawing another target and an average in between does not change a picture by a single byte."""
    attacks = noisy(200, 3, "loss", "rmia")
    first, average = target_lines(attacks, 0), average_lines(attacks)
    for log in (False, True):
        fresh, used = RocPicture(2, log), RocPicture(2, log)
        expected = fresh.draw(first, "Attacks on model 0", 100)
        for lines, non_members in ((target_lines(attacks, 1), 50), (average, 80)):
            used.draw(lines, "other", non_members)
        assert used.draw(first, "Attacks on model 0", 100) == expected


def test_number_of_lines_is_checked():
    """A picture made for two attacks is not drawn with one of them left from before."""
    with pytest.raises(ValueError, match="shorter"):
        RocPicture(2, log=True).draw(target_lines(noisy(50, 1, "rmia"), 0), "x", 25)


def test_pictures_may_be_drawn_in_threads():
    """Reports written at the same time from several threads equal one written alone."""
    result = AuditResult(noisy(80, 2, "loss", "rmia"), {}, {}, {})
    alone = dict(write_pictures(result))
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(lambda _: dict(write_pictures(result)), range(3)))
    assert together == [alone] * 3
