"""code.json: what is remembered of the user's code."""

from __future__ import annotations

from raymeter.schema.user_code import UserCode
from raymeter.storage.code_book import CODE, CodeBook, Remembered
from raymeter.storage.run_store import RunStore


def test_what_is_remembered_is_recalled(tmp_path):
    """By function; what is not there is None, and other functions stay as they were."""
    store = RunStore.at(str(tmp_path))
    one = Remembered(UserCode({"a.py": "1"}, {"timm": "1.0"}, "a.py"), ("a.py",))
    other = Remembered(UserCode({"b.py": "2"}, {}, "b.py"))
    CodeBook(store).remember({"a:build": one})
    CodeBook(store).remember({"b:build": other})
    book = CodeBook(store)
    assert (book.recall("a:build"), book.recall("b:build"), book.recall("c:build")) == (one, other, None)


def test_nothing_is_written_where_there_is_no_code(tmp_path):
    """An audit of built-in models leaves no file."""
    CodeBook(RunStore.at(str(tmp_path))).remember({})
    assert not (tmp_path / CODE).exists()
