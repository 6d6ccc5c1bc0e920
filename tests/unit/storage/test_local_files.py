"""Files of a run directory: whole, and readable by their owner alone."""

from __future__ import annotations

import os
import stat

from raymeter.storage.local_files import replace_file


def test_files_are_their_owners_alone(tmp_path):
    """Whatever the umask: they hold people's records."""
    before = os.umask(0)
    try:
        replace_file(tmp_path / "records.parquet", b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "records.parquet").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["records.parquet"]
