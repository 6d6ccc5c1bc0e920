"""The names that others rely on."""

from __future__ import annotations

import pytest

import raymeter
import raymeter.attacks
import raymeter.stats


def test_package_exports():
    """The package's public names are these, and each can be had."""
    assert raymeter.__all__ == ["AuditResult", "Scores", "SignalMatrix", "__version__", "audit", "load_config"]
    for name in set(raymeter.__all__) - {"audit"}:  # audit loads Ray
        assert getattr(raymeter, name) is not None


def test_unknown_name_is_an_attribute_error():
    """A name that does not exist is reported as Python reports it."""
    with pytest.raises(AttributeError, match="module 'raymeter' has no attribute 'nothing'"):
        raymeter.nothing  # noqa: B018


def test_attack_and_statistics_names():
    """The functions of the library's contract exist."""
    attacks = ("loss", "population", "calibrated", "empirical", "lira", "rmia", "entropy", "base", "qmia", "stack")
    for name in (f"{attack}_scores" for attack in attacks):
        assert callable(getattr(raymeter.attacks, name))
    for name in ("roc_curve", "auc", "auc_interval", "tpr_at_fpr", "clopper_pearson"):
        assert callable(getattr(raymeter.stats, name))
