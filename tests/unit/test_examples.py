"""The examples in docstrings of attacks and statistics run, and every public function there has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import raymeter.attacks
import raymeter.stats

PACKAGES = (raymeter.attacks, raymeter.stats)
FINDER = doctest.DocTestFinder(exclude_empty=True)
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules(package: ModuleType) -> list[ModuleType]:
    """A package and all modules in it."""
    names = [found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [package, *map(importlib.import_module, names)]


def examples(module: ModuleType) -> list[doctest.DocTest]:
    return [test for test in FINDER.find(module) if test.examples]


def without_example(package: ModuleType) -> list[str]:
    """Public functions of a package whose docstrings show no example."""
    public = {name: getattr(package, name) for name in package.__all__}
    functions = {name: value for name, value in public.items() if inspect.isfunction(value)}
    return [name for name, function in functions.items() if ">>>" not in (function.__doc__ or "")]


ALL = [test for package in PACKAGES for module in modules(package) for test in examples(module)]


@pytest.mark.parametrize("example", ALL, ids=lambda test: test.name.removeprefix("raymeter."))
def test_example_gives_what_its_docstring_says(example):
    """Run as doctest does, with the annotations checked."""
    report: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_function_has_an_example(package):
    """What is exported shows by a small case which shape goes in and which direction comes out."""
    assert without_example(package) == []


def test_a_public_function_without_an_example_is_found():
    """The check itself: one function with an example and one without."""

    def shown():
        """>>> shown()"""

    def bare():
        """Nothing."""

    package = ModuleType("package")
    package.__all__ = ["shown", "bare", "VALUE"]
    package.shown, package.bare, package.VALUE = shown, bare, 1
    assert without_example(package) == ["bare"]


def test_a_wrong_example_fails():
    """The runner itself: 1 + 1 is not 3."""
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    with pytest.raises(AssertionError, match="Got:"):
        test_example_gives_what_its_docstring_says(wrong)
