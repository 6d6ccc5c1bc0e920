"""What the page says of scores that others made, and of figures that cannot be told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from results import sample, written
from selenium.webdriver.common.by import By

from raymeter.analysis.outside_results import assess_scores
from raymeter.errors import DataError
from raymeter.report.data_files import plain_attacks
from raymeter.report.gate import judge, parse_gates
from raymeter.report.page.build import write_page
from raymeter.schema import Scores


def one_target(values: np.ndarray, members: int) -> Scores:
    """Scores of a single target; the first records are its members."""
    member = np.arange(len(values)) < members
    return Scores("score", values[:, None], member[:, None], np.arange(len(values)), np.zeros(1, dtype=np.int64), {})


def test_a_rate_that_is_not_resolvable_has_no_precision(tmp_path):
    """The oracle at 0.1 % of 400 non-members stood in the table with a PPV of 1.000, and a gate could pass on it."""
    scores = np.r_[np.linspace(1, 2, 400), np.linspace(0, 1.01, 400)]
    found = assess_scores(one_target(scores, 400), None, 0).result
    page = dict(write_page(found))["index.html"].decode()
    row = page.split('0.1</td><td class="text">oracle</td>')[1].split("</tr>")[0]
    assert "not resolvable" in row
    gate = parse_gates(["score.thresholds.0.001.oracle.tpr.low > 0.1"])
    with pytest.raises(DataError, match="not resolvable"):
        judge(gate, json.loads(json.dumps(plain_attacks(found))))


def test_scores_that_are_turned_round_are_no_good_news(chromium, tmp_path):
    """An AUC of 0.2 had the headline "No leak was measured" in green; the warning was far below, among the provenance."""
    turned = one_target(np.r_[np.linspace(0, 1, 400), np.linspace(0.5, 2, 400)], 400)
    found = assess_scores(turned, None, 0)
    told = replace(found.result, provenance={"notes": list(found.notes)})
    (tmp_path / "index.html").write_bytes(dict(write_page(told))["index.html"])
    chromium.get((tmp_path / "index.html").as_uri())
    verdict = chromium.find_element(By.CSS_SELECTOR, ".verdict")
    assert "quiet" not in verdict.get_attribute("class")
    assert verdict.text.startswith("The scores point the wrong way")
    assert "Warning: the AUC of score is" in verdict.text


def test_texts_that_begin_with_figures_are_sorted_as_texts(chromium, tmp_path):
    """Records named by dates were all equal to their year, and "3e2f" was three hundred."""
    plain = sample(("score",), targets=2, records=40)
    names = np.array([f"2024-01-{number:02d}" if number % 2 else f"{number}e2f" for number in range(40)])
    files = written(replace(plain, records={**plain.records, "id": names}))
    (tmp_path / "index.html").write_bytes(files["index.html"])
    chromium.get((tmp_path / "index.html").as_uri())
    chromium.find_element(By.XPATH, "//table[@id='exposed']//button[text()='record']").click()
    shown = [cell.text for cell in chromium.find_elements(By.CSS_SELECTOR, "#exposed tbody th")]
    assert shown == sorted(shown) and len(shown) == 40


def test_groups_that_cannot_be_compared_have_a_sentence():
    """Groups of members alone had "The largest gap is percentage points (p = not defined"."""
    scores = one_target(np.random.default_rng(0).normal(size=400), 200)
    found = assess_scores(scores, np.array(["in", "out"]).repeat(200), 0).result
    page = dict(write_page(found))["index.html"].decode()
    assert "There are no two groups that have members and non-members of every target" in page
    assert "The largest gap" not in page
    assert "All targets together" not in page


@pytest.mark.parametrize("unit", [5e-324, 1e-16, 1e290, 4e306])
def test_scores_of_any_size_have_a_page(unit):
    """Scores near the ends of what floats can hold, or that hardly differ, ended in a traceback of the histogram."""
    rng = np.random.default_rng(0)
    values = (1.0 if unit == 1e-16 else 0.0) + unit * rng.integers(-9, 9, 400)
    found = assess_scores(one_target(values, 200), None, 0)
    data = json.loads(dict(write_page(found.result))["page.json"])
    shares = data["histograms"]["score"]
    assert (np.diff(shares["edges"]) > 0).all() and sum(shares["members"]) == pytest.approx(1)
    plain = assess_scores(one_target(rng.permutation(values) * 0 + np.round(values / unit), 200), None, 0)
    if unit != 1e-16:
        assert found.result.attacks[0].auc == plain.result.attacks[0].auc
    assert bool(found.notes) == (unit == 4e306)
