"""One's own signals: every kind gives the same two signals, and what cannot be right is refused."""

from __future__ import annotations

import layouts
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from raymeter.analysis.outside_results import assess_signals
from raymeter.errors import DataError
from raymeter.formats import arrays
from raymeter.formats.values import Extras, make_signals

TRUTH = layouts.truth(views=2)


@pytest.mark.parametrize("kind", ["prob", "log_prob", "loss", "logit_gap", "logits"])
def test_every_kind_gives_the_same_signals(kind):
    """float64 probabilities, their logs, losses, gaps and logits of the same models."""
    given = {
        "prob": TRUTH.prob,
        "log_prob": np.log(TRUTH.prob),
        "loss": -np.log(TRUTH.prob),
        "logit_gap": TRUTH.gap,
        "logits": TRUTH.logits,
    }[kind]
    made = make_signals(given, kind, TRUTH.labels, "mine")
    np.testing.assert_allclose(made.logit_gap, TRUTH.gap, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(made.log_prob, np.log(TRUTH.prob), rtol=1e-5, atol=1e-6)
    assert made.saturated == 0


def test_rounded_probabilities_stay_finite_and_are_counted():
    """0 and 1 in float32 keep the order of the others; the note says how many there are."""
    values = np.array([[0.0, 1e-30], [1 - 2.0**-24, 1.0], [0.5, 0.25]], dtype=np.float32)
    made = make_signals(values, "prob", None, "mine")
    gap = made.logit_gap[:, :, 0]
    assert made.saturated == 2
    assert np.isfinite(gap).all()
    assert gap[0, 0] < gap[0, 1] < gap[2, 1] < gap[2, 0] < gap[1, 0] < gap[1, 1]


def test_log_probabilities_of_zero_stay_above_all_others():
    """A log-probability that was rounded to 0 has a larger gap than the smallest that was not."""
    made = make_signals(np.array([[-1e-30, 0.0], [-1.0, -2.0]]), "log_prob", None, "mine")
    assert made.saturated == 1
    assert made.logit_gap[0, 1] > made.logit_gap[0, 0] > 60


LOG_HALF_STEP = 54 * np.log(2)  # of float64 below 1
LOWEST = -1075 * np.log(2)  # half of float64's smallest number


@pytest.mark.parametrize(
    ("values", "kind", "gaps"),
    [
        (np.array([[1.0, 0.0, 0.5]]), "prob", [LOG_HALF_STEP, LOWEST, 0.0]),
        (np.array([[1, 0, 1]]), "prob", [LOG_HALF_STEP, LOWEST, LOG_HALF_STEP]),
        (np.array([[True, False, True]]), "prob", [LOG_HALF_STEP, LOWEST, LOG_HALF_STEP]),
        (np.array([[1.0, 0.0, 0.5]], np.float16), "prob", [12 * np.log(2), -25 * np.log(2), 0.0]),
        (np.array([[0.0, -np.inf, -np.log(2)]]), "log_prob", [LOG_HALF_STEP, LOWEST, 0.0]),
        (np.array([[0.0, -5e-324, -np.log(2)]]), "log_prob", [-LOWEST, -LOWEST - np.log(2), 0.0]),
        (np.array([[0, np.inf, np.log(2)]]), "loss", [LOG_HALF_STEP, LOWEST, 0.0]),
        (np.array([[np.inf, -np.inf, 0.0]]), "logit_gap", [LOG_HALF_STEP, LOWEST, 0.0]),
        (np.array([[np.inf, 50.0, -800.0]]), "logit_gap", [50 + np.log(2), 50.0, -800.0]),
    ],
)
def test_certain_answers_are_half_a_step_from_certainty(values, kind, gaps):
    """An exact 1 in float64 or whole numbers (a tree, a label-only model) was refused as not finite."""
    made = make_signals(values, kind, None, "mine")
    np.testing.assert_allclose(made.logit_gap[0, :, 0], gaps, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(made.log_prob[0, :, 0], -np.logaddexp(0, -np.array(gaps)), rtol=1e-6, atol=3e-4)


def test_order_and_ties_are_those_of_the_probabilities():
    """Two that are 1 are equal, and above the largest number below 1; two that are 0 below the smallest above 0."""
    values = np.array([[0.0, 5e-324, 0.3, np.nextafter(1.0, 0.0), 1.0], [0.0, 1e-310, 0.3, 0.999, 1.0]])
    made = make_signals(values, "prob", None, "mine")
    for gap in made.logit_gap[:, :, 0]:
        assert (np.diff(gap) > 0).all()
    np.testing.assert_array_equal(made.logit_gap[0, [0, 2, 4]], made.logit_gap[1, [0, 2, 4]])
    assert made.saturated == 4


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([[1e39, 1e300]]), "loss"),
        (np.array([[-1e39, -1e300]]), "log_prob"),
        (np.array([[-1e39, -1e300]]), "logit_gap"),
        (np.array([[[-1e300, 1e300], [-1e308, 1e308]]]), "logits"),
    ],
)
def test_finite_values_beyond_float32_are_its_largest(values, kind):
    """They were refused as not finite, though they are; logits that are kept are bounded as well."""
    made = make_signals(values, kind, np.array([0]), "mine")
    least = np.finfo(np.float32).min
    np.testing.assert_array_equal(made.logit_gap[0, :, 0], [least, least])
    np.testing.assert_array_equal(made.log_prob[0, :, 0], [least, least])
    if kind == "logits":
        np.testing.assert_array_equal(made.logits[0, :, 0], [[least, -least], [least, -least]])


def test_label_only_signals_are_judged(tmp_path):
    """Right or wrong, one column a model: all attacks that can run give finite scores."""
    rng = np.random.default_rng(0)
    half = np.array([rng.permutation(40) < 20 for _ in range(3)]).T
    member = np.concatenate([half, ~half], axis=1)
    np.savez(tmp_path / "mine.npz", signals=rng.random((40, 6)) < 0.5 + 0.3 * member, member=member)
    found = arrays.read(tmp_path / "mine.npz", Extras(kind="prob"))
    assert "240 signals (100.0%) were rounded to a probability of 0 or 1" in found.notes[0]
    assessment = assess_signals(found.signals, None, 0)
    assert {attack.name for attack in assessment.result.attacks} >= {"loss", "lira", "calibrated"}
    assert all(np.isfinite(attack.scores.values).all() for attack in assessment.result.attacks)


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (np.array([[0.2, np.inf]]), "prob", r"probabilities must be 0\.\.1, got inf in row 0"),
        (np.array([[-0.2, np.inf]]), "log_prob", "log-probabilities must be at most 0, got inf"),
        (np.array([[0.2, -np.inf]]), "loss", "losses must be at least 0, got -inf"),
        (np.array([[True, False]]), "loss", "loss must be numbers"),
        (np.array([[[0.0, np.inf]]]), "logits", "row 0 of model 0 is not finite"),
        (
            np.array([[0.2, 0.9]]),
            "log_prob",
            r"log-probabilities must be at most 0, got 0.2 in row 0; .*--kind loss, prob",
        ),
        (np.array([[0.2, -0.9]]), "prob", r"probabilities must be 0\.\.1, got -0.9 in row 0"),
        (np.array([[0.2, -0.9]]), "loss", "losses must be at least 0, got -0.9"),
        (np.array([[0.2, np.nan]]), "logit_gap", "row 0 of model 1 is not finite"),
        (np.zeros((2, 3, 4)), "logits", "logits need the class of each record; add labels"),
        (
            np.zeros((2, 3, 1)),
            "logits",
            r"each record has a single logit, of two classes; give both: 0 and its own, numpy",
        ),
        (np.zeros((2, 3)), "logits", r"got float64\[2, 3\]; of a single logit per record give both: 0 and its own"),
        (np.zeros(3), "log_prob", r"log_prob must be numbers \[records, models, views\]"),
        (np.array([["a"]]), "log_prob", "must be numbers"),
        (np.zeros((0, 3)), "log_prob", r"no signals in float64\[0, 3, 1\]"),
    ],
)
def test_signals_that_cannot_be_right_are_refused(values, kind, message):
    """The value, its place, and what else it may be."""
    with pytest.raises(DataError, match=message):
        make_signals(values, kind, None, "mine")


def test_labels_must_be_classes_of_the_logits():
    """A label beyond the classes."""
    with pytest.raises(DataError, match=r"labels must be 2 classes in 0\.\.3"):
        make_signals(np.zeros((2, 3, 4)), "logits", np.array([0, 4]), "mine")


def mine(path, **changes):
    """A file of signals, with some arrays changed or left out."""
    found = {"signals": np.log(TRUTH.prob[:, :, 0]), "member": TRUTH.member, **changes}
    np.savez(path / "mine.npz", **{name: array for name, array in found.items() if array is not None})
    return path / "mine.npz"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"member": None}, "no member; add --members"),
        ({"member": TRUTH.member.T}, r"must be \[records, models\] = \[40, 6\], got \[6, 40\]: it is transposed"),
        ({"member": TRUTH.member[:39]}, r"must be \[records, models\] = \[40, 6\], got \[39, 6\]"),
        ({"member": TRUTH.member * 2}, "member must be 0 or 1, got 2"),
        ({"ids": np.arange(39)}, "ids must name 40 records, got 39"),
        ({"ids": np.zeros(40, dtype=int)}, "ids: record 0 appears twice"),
        ({"ids": np.zeros((40, 2))}, "ids must be a vector, one for each record"),
        ({"labels": np.zeros(3, dtype=int)}, "labels must be of 40 records, got 3"),
        ({"population": np.log(TRUTH.prob[:9, :5, 0])}, "the population must be under the same models"),
        ({"targets": np.array([6])}, r"targets must be different models in 0\.\.5, got \[6\]"),
        ({"ids": np.full(40, 2**63, dtype=np.uint64)}, "ids: record 9223372036854775808 appears twice"),
        ({"membres": TRUTH.member}, "has an array 'membres'; known are signals, member"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, changes, message):
    """Orientation, ids, labels and names are checked."""
    with pytest.raises(DataError, match=message):
        arrays.read(mine(tmp_path, **changes), Extras())


def test_a_table_of_signals_is_the_same_as_arrays(tmp_path):
    """Columns signal_<model> and member_<model> in any order, with id and label."""
    values = np.log(TRUTH.prob[:, :, 0])
    columns = {f"signal_{m}": values[:, m] for m in reversed(range(6))}
    columns |= {f"member_{m}": TRUTH.member[:, m].astype(int) for m in range(6)}
    columns |= {"id": np.arange(40) + 7, "label": TRUTH.labels}
    parquet.write_table(pa.table(columns), tmp_path / "mine.parquet")
    found = arrays.read(tmp_path / "mine.parquet", Extras()).signals.audit["log_prob"]
    np.testing.assert_allclose(found.values[:, :, 0], values, rtol=1e-6)
    np.testing.assert_array_equal(found.member, TRUTH.member)
    assert (found.ids[0], found.labels.tolist()) == (7, TRUTH.labels.tolist())
    columns.pop("member_3")
    parquet.write_table(pa.table(columns), tmp_path / "mine.parquet")
    with pytest.raises(DataError, match="6 columns signal_<model> and 5 member_<model>; add the rest"):
        arrays.read(tmp_path / "mine.parquet", Extras())


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_ids_of_text_come_through(tmp_path, suffix):
    """They were refused, or lost their zeros; the order of the rows stays."""
    values, names = np.log(TRUTH.prob[:, :, 0]), np.array([f"{i:04d}" for i in range(40)])[::-1]
    path = tmp_path / f"mine.{suffix}"
    if suffix == "npz":
        np.savez(path, signals=values, member=TRUTH.member, ids=names)
    else:
        columns = {"id": names} | {f"signal_{m}": values[:, m] for m in range(6)}
        columns |= {f"member_{m}": TRUTH.member[:, m].astype(int) for m in range(6)}
        (csv.write_csv if suffix == "csv" else parquet.write_table)(pa.table(columns), path)
    found = arrays.read(path, Extras()).signals.audit["log_prob"]
    assert found.ids.tolist() == names.tolist()
    np.testing.assert_allclose(found.values[:, :, 0], values, rtol=1e-6)


def test_decimal_commas_in_signals_are_named(tmp_path):
    """Quoted, they are texts; the column is named."""
    (tmp_path / "mine.csv").write_text('signal_0,signal_1,member_0,member_1\n"-0,5",-1,1,0\n"-0,2",-2,0,1\n')
    with pytest.raises(DataError, match=r"signal_0 must be numbers, got numbers with decimal commas \('-0,5'\)"):
        arrays.read(tmp_path / "mine.csv", Extras())
