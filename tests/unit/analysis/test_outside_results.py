"""What raymeter score says of a run's signals is what the audit itself says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from audits import stored_audit
from results import sample

from raymeter.analysis.outside_results import POSSIBLE, assess_scores, assess_signals
from raymeter.analysis.result import main_label
from raymeter.attacks import ATTACKS, Entropy, Lira, Loss, Population, Rmia
from raymeter.config.load import build_config
from raymeter.errors import SignalError
from raymeter.pipeline.audit import analyse
from raymeter.report.data_files import plain
from raymeter.schema import Dataset, Scores, Split
from raymeter.signals.stored import load_signals


def test_score_of_a_run_gives_the_audits_figures(tmp_path):
    """AUC, TPR, thresholds, comparisons, groups, power and the table of records, to the last bit."""
    signals = load_signals(stored_audit(tmp_path, models=8, records=200)).signals
    attacks = ["loss", "rmia", {"name": "lira", "mode": "offline"}]
    sections = {"run": {"log_dir": str(tmp_path), "random_seed": 5}, "audit": {"attacks": attacks}}
    sections["audit"]["blind_baseline"] = False
    config = build_config(sections)
    matrix = signals.audit["logit_gap"]
    nobody = np.zeros(0, dtype=np.int64)
    split = Split(matrix.member, matrix.reference, matrix.targets, matrix.ids, nobody, seed=5)
    no_x = np.zeros((0, 1), np.float32)
    unread = Dataset("unread", no_x, nobody, no_x, nobody, num_classes=1)
    audited = analyse(config, unread, split, signals)
    mine = assess_signals(signals, config.attacks, seed=5).result
    for part in ("attacks", "comparisons", "power", "groups", "main", "top_overlap"):
        assert plain(getattr(mine, part)) == plain(getattr(audited, part)), part
    assert mine.records.keys() == audited.records.keys()
    for name, column in audited.records.items():
        np.testing.assert_array_equal(np.ma.filled(mine.records[name], -1), np.ma.filled(column, -1))


def test_the_main_attack_is_the_first_that_uses_references():
    """Whatever attacks are called; without any that uses references it is the first."""
    attacks = {"mine": Loss(), "entropy": Entropy(), "loss": Rmia(), "lira": Lira()}
    assert main_label(attacks) == "loss"
    assert main_label({"p": Population(), "loss": Loss()}) == "p"


def test_a_result_knows_its_main_attack():
    """By its label; a result that was put together without one begins with its first attack."""
    result = sample()
    assert result.main_attack.name == "rmia"
    assert replace(result, main="").main_attack.name == "loss"


def test_every_attack_that_signals_suffice_for_is_tried():
    """A new row of the table is not forgotten by `raymeter score`."""
    tried = {type(attack) for attack in POSSIBLE.values()}
    assert tried == {kind for kind in ATTACKS.values() if not kind.needs_records}


def of_pairs(leak: float = 1.0) -> Scores:
    """Scores of 400 records under four complementary pairs."""
    rng = np.random.default_rng(0)
    half = rng.random((400, 4)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(400, 8)
    return Scores("score", rng.normal(size=member.shape) + leak * member, member, np.arange(400), np.arange(8))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda column: 0 * column, "warning: model 3 gives every record the same score (0): it draws the means"),
        (lambda column: -column, "warning: the AUC of model 3 alone is 0."),
    ],
)
def test_targets_unlike_the_others_are_told(change, line):
    """Regression: a constant or a reversed target of eight lowered the mean without a word; signals had a line."""
    scores = of_pairs()
    assert assess_scores(scores, None, 0).notes == ()
    scores.values[:, 3] = change(scores.values[:, 3])
    notes = assess_scores(scores, None, 0).notes
    assert len(notes) == 1 and notes[0].startswith(line)


def test_scores_beyond_sums_are_divided_or_refused():
    """Regression: means of scores of 1e308 overflowed, into ranks of nothing; likelihood ratios may be as large."""
    scores = of_pairs()
    plain = assess_scores(scores, None, 0).result
    large = replace(scores, values=scores.values * 2.0**1020)
    found = assess_scores(large, None, 0)
    assert found.notes[0].startswith("scores reach 4.") and "are divided by 1099511627776" in found.notes[0]
    assert found.result.attacks[0].auc == plain.attacks[0].auc
    np.testing.assert_array_equal(found.result.records["score_rank"], plain.records["score_rank"])
    large.values[0] = 3e-308
    with pytest.raises(SignalError, match="so near 0 that no common scale holds both; give their logarithms"):
        assess_scores(large, None, 0)
