"""What has changed between two states of a user's code."""

from __future__ import annotations

from raymeter.schema.user_code import UserCode


def test_changes_are_named_one_by_one():
    """Files that are other, gone and new; packages with both versions."""
    before = UserCode({"a.py": "1", "b.py": "2"}, {"timm": "1.0", "torch": "2.9"}, "a.py")
    after = UserCode({"a.py": "9", "c.py": "3"}, {"timm": "1.1", "torch": "2.9", "einops": "0.8"}, "a.py")
    assert after.changes_since(before) == (
        "a.py has changed",
        "b.py is gone",
        "c.py is new",
        "einops was not imported, now 0.8",
        "timm was 1.0, now 1.1",
    )
    assert after.changes_since(after) == ()
