"""Texts of exceptions as they stand in messages."""

from __future__ import annotations

import pytest

from raymeter.config.messages import suggest, suggest_and_list
from raymeter.errors import first_line, type_and_line


@pytest.mark.parametrize(
    ("error", "line", "typed"),
    [
        (ValueError("one\ntwo"), "one", "ValueError: one"),
        (EOFError(), "EOFError", "EOFError"),
        (KeyError("name"), "'name'", "KeyError: 'name'"),
    ],
)
def test_first_line_of_an_exception(error, line, typed):
    """One line, whatever the exception; the type stands for a text that is missing."""
    assert first_line(error) == line
    assert type_and_line(error) == typed


def test_first_line_may_be_empty():
    """Where a message has its own words for an exception without text."""
    assert first_line(EOFError(), "") == ""
    assert first_line(ValueError("one"), "") == "one"


def test_close_names_come_before_all():
    """`suggest` gives the one or the other, `suggest_and_list` both, in the order of the table."""
    table = {"mlp": 1, "cnn": 2, "alexnet": 3}
    assert suggest("cnnn", table) == "did you mean cnn?"
    assert suggest("forest", table) == "known are alexnet, cnn, mlp"
    assert suggest_and_list("cnnn", table) == "did you mean cnn? known are mlp, cnn, alexnet"
    assert suggest_and_list("forest", table) == "known are mlp, cnn, alexnet"
