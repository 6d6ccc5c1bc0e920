"""The tutorial runs as a reader would run it, in a kernel of its own."""

from __future__ import annotations

import time
from pathlib import Path

import nbclient
import nbformat

DOCS = Path(__file__).parents[2] / "docs"


def test_the_tutorial_runs_in_under_two_minutes():
    """Every cell, in order; the result is a table, records are named, the page is among the files."""
    notebook = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "stored without its outputs"
    start = time.monotonic()
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute(cwd=str(DOCS))
    assert time.monotonic() - start < 120
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    tables = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any("TPR in % at 1 % FPR" in table and "rmia" in table for table in tables)
    assert "records are named at risk" in text and "RMIA online: mean AUC 0." in text and "index.html" in text
