"""Annotations are checked in the tests: a wrong shape, dtype or type raises, in whichever module it is passed."""

from __future__ import annotations

import sys

import annotation_checks
import jaxtyping
import numpy as np
import pytest

from raymeter.attacks import loss_scores
from raymeter.errors import SignalError
from raymeter.schema import SignalMatrix
from raymeter.stats import auc

MEMBER = np.array([True, False, True])


@pytest.mark.parametrize(
    ("scores", "member"),
    [
        pytest.param(np.zeros((3, 1)), MEMBER, id="axes"),
        pytest.param(np.zeros(4), MEMBER, id="length"),
        pytest.param(np.zeros(3, np.int64), MEMBER, id="dtype of scores"),
        pytest.param(np.zeros(3), MEMBER.astype(np.int8), id="dtype of member"),
        pytest.param([0.0, 0.0, 0.0], MEMBER, id="list"),
    ],
)
def test_wrong_arrays_raise(scores, member):
    """Number of axes, lengths that must agree, dtypes, and what is no array."""
    with pytest.raises(jaxtyping.TypeCheckError, match=r"parameters of raymeter\.stats\.auc\.auc"):
        auc(scores, member)


def test_fields_of_values_are_checked():
    """A frozen value with an axis too few does not come to be."""
    with pytest.raises(jaxtyping.TypeCheckError, match="SignalMatrix"):
        SignalMatrix("log_prob", np.zeros((3, 2), np.float32), np.zeros((3, 2), bool))


def test_other_types_are_checked():
    """What is annotated as a class of this package must be one."""
    with pytest.raises(jaxtyping.TypeCheckError, match="loss_scores"):
        loss_scores(np.zeros((3, 2, 1), np.float32))


def test_results_are_checked(monkeypatch):
    """A function that returns something else than it says raises too."""
    monkeypatch.setattr(sys.modules[auc.__module__], "float", str, raising=False)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"return value of raymeter\.stats\.auc\.auc"):
        auc(np.arange(3.0), MEMBER)


def test_unchecked_tests_see_the_package_s_own_errors(unchecked):
    """With the fixture the same call reaches the package, which refuses it in its own words."""
    with pytest.raises(SignalError, match="equally long"):
        auc(np.zeros(4), MEMBER)


def test_every_loaded_module_is_checked():
    """Whatever ran before in this process: no module of raymeter was loaded without the checks."""
    loaders = {
        name: type(module.__spec__.loader).__name__
        for name, module in list(sys.modules.items())
        if name.split(".")[0] == "raymeter" and module.__spec__
    }
    assert {name for name, loader in loaders.items() if loader != "_JaxtypingLoader"} == set()
    assert "raymeter.stats.auc" in loaders


def test_checks_cannot_come_too_late():
    """Installed after a part of raymeter was imported they would miss it, so that is an error."""
    with pytest.raises(RuntimeError, match=r"imported before the checks of annotations were installed: raymeter, "):
        annotation_checks.install()


def test_functions_within_functions_are_left_as_they_are():
    """A check would be made anew at each call of the outer function, which takes longer than it does."""

    def inner(value: int) -> int:
        return value

    with_checks = jaxtyping.jaxtyped(typechecker=annotation_checks.checked)
    assert with_checks(inner) is inner
    assert with_checks(annotation_checks.checked) is not annotation_checks.checked
