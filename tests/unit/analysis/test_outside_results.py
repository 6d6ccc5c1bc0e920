"""What raymeter score says of a run's signals is what the audit itself says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from audits import stored_audit
from results import sample

from raymeter.analysis.outside_results import POSSIBLE, assess_signals
from raymeter.analysis.result import main_label
from raymeter.attacks import ATTACKS, Entropy, Lira, Loss, Population, Rmia
from raymeter.config.load import build_config
from raymeter.pipeline.audit import analyse
from raymeter.report.data_files import plain
from raymeter.schema import Dataset, Split
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
