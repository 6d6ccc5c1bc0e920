"""Which method a page cites for an attack of any label."""

from __future__ import annotations

import pytest

from raymeter.attacks import ATTACKS
from raymeter.report.page.build import attack_name


@pytest.mark.parametrize(
    ("label", "name"), [("lira", "lira"), ("lira_offline", "lira"), ("loss_blur_2", "loss_blur"), ("mine", "mine")]
)
def test_a_label_means_the_attack_whose_name_it_begins_with(monkeypatch, label, name):
    """The longest one: an attack called loss_blur was shown as LOSS."""
    monkeypatch.setitem(ATTACKS, "loss_blur", ATTACKS["loss"])
    assert attack_name(label, {}) == name


def test_the_configuration_knows_better():
    """A label of one's own means what the configuration says."""
    config = {"audit": {"attacks": [{"label": "rmia_1", "name": "lira"}]}}
    assert attack_name("rmia_1", config) == "lira"
