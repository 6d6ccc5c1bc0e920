"""The names that others rely on."""

from __future__ import annotations

import subprocess
import sys

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
    for name in ("loss_scores", "rmia_scores", "lira_scores"):
        assert callable(getattr(raymeter.attacks, name))
    for name in ("roc_curve", "auc", "auc_interval", "tpr_at_fpr", "clopper_pearson"):
        assert callable(getattr(raymeter.stats, name))


def test_audit_is_callable_as_a_function():
    """`from raymeter import audit` gives something to call, without starting Ray."""
    code = "import ray, raymeter; assert callable(raymeter.audit); assert not ray.is_initialized()"
    subprocess.run([sys.executable, "-c", code], check=True)
