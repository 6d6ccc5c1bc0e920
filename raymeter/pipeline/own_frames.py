"""Data of a Python session as the data of an audit, kept in its run directory."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from raymeter.errors import ConfigError, DataError, type_and_line
from raymeter.schema.plain_arrays import plain_array
from raymeter.storage.addresses import inside
from raymeter.storage.run_store import RunStore


def with_data(
    sections: Mapping[str, Any], data: Any, label: str | None = None, run: str | None = None, model: str | None = None
) -> dict[str, Any]:
    """Sections of a configuration with the data that they are to be about.

    Args:
        sections: The rest of the configuration, as plain values; may be empty.
        data: A data frame (pandas, polars or pyarrow, with a column of classes), or (x, y).
        label: The column of classes; by default y or label.
        run: The run directory, where the sections do not say.
        model: train.model_name, where the sections do not say; by default `tabular` for a data frame.

    Raises:
        ConfigError: There is no run directory, or the sections name other data.
        DataError: They are no data that can be kept.
    """
    values = {name: dict(section or {}) for name, section in sections.items()}
    where = values.setdefault("run", {}).setdefault("log_dir", run)
    if where is None:
        raise ConfigError("run: say where the audit is to be kept, such as run='audits/first'")
    if run not in (None, where):
        raise ConfigError(f"run: got {run!r}, and the configuration says run.log_dir {where!r}; give one of them")
    about = values.setdefault("data", {})
    if {"dataset", "path"} & set(about):
        raise ConfigError("data: the configuration names data too (data.dataset or data.path); leave them out")
    store = RunStore.at(str(where))
    if isinstance(data, tuple) and len(data) == 2:
        if label is not None:
            raise ConfigError(f"label: (x, y) has its labels as y, got {label!r}; leave it out")
        name, content = "data.npz", _arrays(*data)
    else:
        name, content = "data.parquet", _table(data)
        about |= {} if label is None else {"label": label}
        values.setdefault("train", {}).setdefault("model_name", model or "tabular")
    if model is not None:
        values.setdefault("train", {}).setdefault("model_name", model)
    if store.read(name) != content:
        store.write(name, content)
    return {**values, "data": {**about, "dataset": "arrays", "path": inside(store.uri, name)}}


def _arrays(x: Any, y: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=plain_array(x, "data: x"), y=plain_array(y, "data: y"))
    return buffer.getvalue()


def _table(frame: Any) -> bytes:
    """A data frame as a Parquet file."""
    try:
        if isinstance(frame, pa.Table):
            table = frame
        elif hasattr(frame, "__arrow_c_stream__") and not hasattr(frame, "index"):
            table = pa.table(frame)
        elif hasattr(frame, "iloc"):
            table = pa.Table.from_pandas(frame)
        else:
            raise DataError(f"data: got {type(frame).__name__}; give a data frame with a column of classes, or (x, y)")
        buffer = io.BytesIO()
        parquet.write_table(table, buffer)
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"data: the data frame cannot be kept as Parquet ({type_and_line(error)})") from None
    return buffer.getvalue()
