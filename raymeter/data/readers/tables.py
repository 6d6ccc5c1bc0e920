"""Tables as people have them: texts, categories, dates, truth values and gaps as columns of numbers.

What a column becomes is decided by its type and its values in all records, and said in words. Nothing here is fitted:
medians, means and deviations are each model's own (models/tabular.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymeter.config.messages import suggest_and_list
from raymeter.data.loaded_records import Records
from raymeter.data.readers.labels import as_labels
from raymeter.data.readers.parquet import LABEL_COLUMNS, NO_FEATURE
from raymeter.errors import DataError
from raymeter.formats.csv_files import read_csv
from raymeter.schema.dataset import TableChoice
from raymeter.storage.addresses import shown
from raymeter.storage.user_files import content_of

ONE_HOT = 32  # categories; more become one column of numbers, in the order of their names
DAY = 86_400_000_000  # microseconds
MOST_SHOWN = 6


@dataclass
class _Encoded:
    """Columns of numbers, their names, what was done to which column, and columns that cannot be features."""

    columns: list[np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, values: np.ndarray, done: str = "") -> None:
        """A column of numbers; where it has gaps, one more says where."""
        self.columns.append(values.astype(np.float32))
        self.names.append(name)
        gaps = np.isnan(values)
        if gaps.any():
            self.columns.append(gaps.astype(np.float32))
            self.names.append(f"{name} is missing")
            done = ", ".join(filter(None, [done, f"{int(gaps.sum())} gaps"]))
        if done:
            self.done.append(f"{name}: {done}")


def is_csv(path: str) -> bool:
    """Whether a path means a CSV file."""
    return PurePosixPath(shown(path)).suffix.lower() == ".csv"


def read_csv_file(path: str) -> pa.Table:
    """A CSV file, here or in a bucket; empty cells are gaps.

    Raises:
        DataError: It cannot be read.
    """
    return read_csv(content_of(path, "data.path"), shown(path))


def encode(table: pa.Table, choice: TableChoice, where: str) -> Records:
    """The records of a table.

    Numbers and truth values stay one column; dates become days since 1970; texts and categories become a column of 0
    and 1 for each category, or one of numbers where there are more than ONE_HOT. A gap stays one (NaN), and another
    column says where gaps are.

    Args:
        table: Rows are records.
        choice: Which column is the label, which are no features, which numbers are categories.
        where: Name of the table, for messages.

    Raises:
        DataError: A column that was named is not there, or columns cannot be features: all of them are named.
    """
    label = label_of(table, choice, where)
    left_out, encoded = _encode_columns(table, choice, label)
    if encoded.wrong:
        wrong = "; ".join(f"{name} ({why})" for name, why in encoded.wrong.items())
        raise DataError(
            f"{where}: {len(encoded.wrong)} columns cannot be features: {wrong}; name them in "
            "data.drop, or turn them into numbers or categories"
        )
    if not encoded.columns:
        raise DataError(f"{where} has no feature columns besides {label}; add some")
    y, classes, named = _labels(table[label], label, where)
    x = np.stack(encoded.columns, axis=1)
    done = ([f"label {label}: {named}"] if named else []) + encoded.done
    return Records(x, y, classes, where, tuple(encoded.names), tuple(left_out), tuple(done))


def label_of(table: pa.Table, choice: TableChoice, where: str) -> str:
    """The column of classes: as it was named, or y or label.

    Raises:
        DataError: A column that was named is not there, or there is no label.
    """
    _require_names(table, choice, where)
    label = choice.label or next((name for name in LABEL_COLUMNS if name in table.column_names), None)
    if label is None:
        raise DataError(
            f"{where} has columns {_some(table.column_names)}; say which is the label with data.label, or call it y"
        )
    return label


def columns_to_drop(table: pa.Table, label: str) -> dict[str, str]:
    """Columns that cannot be features, and why."""
    return _encode_columns(table, TableChoice(label), label)[1].wrong


def _encode_columns(table: pa.Table, choice: TableChoice, label: str) -> tuple[list[str], _Encoded]:
    """Which columns are left out, and all others as numbers."""
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    left_out = [
        name
        for name in table.column_names
        if name != label
        and (name in (*choice.drop, choice.id, *map(str, index)) or (choice.id is None and NO_FEATURE.fullmatch(name)))
    ]
    encoded = _Encoded()
    for name in table.column_names:
        if name != label and name not in left_out:
            _encode_column(table[name], name, name in choice.categorical, encoded)
    return left_out, encoded


def _require_names(table: pa.Table, choice: TableChoice, where: str) -> None:
    for key, names in (
        ("label", (choice.label,)),
        ("id", (choice.id,)),
        ("drop", choice.drop),
        ("categorical", choice.categorical),
    ):
        for name in names:
            if name is not None and name not in table.column_names:
                known = suggest_and_list(name, dict.fromkeys(table.column_names))
                raise DataError(f"data.{key}: {where} has no column {name!r}; {known}")


def _encode_column(column: pa.ChunkedArray, name: str, is_category: bool, encoded: _Encoded) -> None:
    """Add what a column becomes, or why it cannot be a feature."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, is_category = column.cast(kind.value_type), True
        kind = column.type
    if pa.types.is_null(kind):
        encoded.done.append(f"{name}: empty, left out")
    elif is_category or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        _encode_categories(column, name, is_category, encoded)
    elif pa.types.is_boolean(kind):
        encoded.add(name, column.cast(pa.float32()).to_numpy(), "0 and 1")
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = column.cast(pa.float64()).to_numpy()
        infinite = int(np.isinf(values).sum())
        if infinite:
            encoded.wrong[name] = f"{infinite} infinite values"
        elif np.nanmax(np.abs(values), initial=0.0) > np.finfo(np.float32).max:
            encoded.wrong[name] = "values beyond float32"
        else:
            encoded.add(name, values)
    elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        ticks = column.cast(pa.timestamp("us"), safe=False)
        days = pc.divide(pc.cast(ticks.cast(pa.int64()), pa.float64()), float(DAY))
        encoded.add(name, days.to_numpy(), "days since 1970")
    else:
        encoded.wrong[name] = str(kind)


def _encode_categories(column: pa.ChunkedArray, name: str, is_asked_for: bool, encoded: _Encoded) -> None:
    """One column for each category, or one of numbers; a text in nearly every row names the record."""
    texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    categories = sorted(text for text in pc.unique(texts).to_pylist() if text is not None)
    given = len(texts) - texts.null_count
    if not categories:
        encoded.done.append(f"{name}: empty, left out")
    elif not is_asked_for and len(categories) > ONE_HOT and 2 * len(categories) > given:
        encoded.wrong[name] = f"{len(categories)} different texts in {given} rows: ids or free text?"
    elif len(categories) <= ONE_HOT:
        for category in categories:
            is_one = pc.fill_null(pc.equal(texts, category), False)
            encoded.columns.append(is_one.to_numpy(zero_copy_only=False).astype(np.float32))
            encoded.names.append(f"{name}={category}")
        gaps = f", {texts.null_count} gaps" if texts.null_count else ""
        encoded.done.append(f"{name}: {len(categories)} categories, a column each{gaps}")
    else:
        codes = pc.index_in(texts, pa.array(categories)).cast(pa.float64()).to_numpy()
        encoded.add(name, codes, f"{len(categories)} categories, numbered by name")


def _labels(column: pa.ChunkedArray, label: str, where: str) -> tuple[np.ndarray, int, str]:
    """Classes, how many there are, and which texts they were."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        raise DataError(f"{where}: {column.null_count} of {len(column)} records have no {label}; drop these records")
    if pa.types.is_boolean(column.type) or pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
        classes = sorted(pc.unique(texts).to_pylist())
        if len(classes) < 2:
            raise DataError(f"{where}: all records have the {label} {classes[0]!r}; at least two classes are needed")
        if 2 * len(classes) > len(texts) and len(classes) > ONE_HOT:
            raise DataError(f"{where}: {label} has {len(classes)} different texts in {len(texts)} rows; name the label")
        y = pc.index_in(texts, pa.array(classes)).to_numpy().astype(np.int64)
        return y, len(classes), ", ".join(f"{text} is {number}" for number, text in enumerate(classes[:MOST_SHOWN]))
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(f"{where}: {label} is {column.type}; a label is a text, a truth value or a whole number")
    labels = as_labels(column.to_numpy(), f"{where}: {label}")
    return labels.y, labels.num_classes, ""


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more
