"""CSV files as people save them: what spreadsheets do to them is taken, or named in one line."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from raymeter.errors import DataError, first_line

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
LOOKED_AT = 4096  # bytes
WHOLE_NUMBER = r"^(0|-?[1-9]\d*)$"
DECIMAL_COMMA = r"^\s*-?\d+,\d+\s*$"


def plain_text(data: bytes, where: str) -> bytes:
    """A text file's content in UTF-8, without the mark that some programs put before it.

    Raises:
        DataError: It is UTF-16, as Excel's "Unicode text" and PowerShell write it.
    """
    if data.startswith(WIDE) or b"\0" in data[:LOOKED_AT]:
        raise DataError(f"{where} is written in UTF-16, or holds zero bytes; save it as UTF-8")
    return data.removeprefix(codecs.BOM_UTF8)


def read_csv(data: bytes, where: str, as_text: Collection[str] = ()) -> pa.Table:
    """A table from a CSV file.

    Args:
        data: Its content.
        where: Its name, for messages.
        as_text: Columns of ids and groups: texts as they are written, or numbers where all are plain whole numbers.

    Raises:
        DataError: It is no UTF-8, its columns are separated by something else than commas, or it cannot be parsed.
    """
    data = plain_text(data, where)
    try:
        header = data.split(b"\n", 1)[0].decode()
    except UnicodeDecodeError:
        raise DataError(
            f"{where}: its first line, the names of the columns, is not text in UTF-8; save it so"
        ) from None
    other = next((sign for sign in SEPARATORS if sign in header and "," not in header), None)
    if other is not None:
        raise DataError(
            f"{where}: columns are separated by {SEPARATORS[other]}; separate them by commas, and write 0.5 for 0,5"
        )
    options = csv.ConvertOptions(column_types={name: pa.string() for name in as_text})
    try:
        table = csv.read_csv(io.BytesIO(data), convert_options=options)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = first_line(error)
        if (match := re.search(r"column #(\d+)", reason)) and "UTF8" in reason:
            name = header.split(",")[int(match[1])].strip().strip('"')
            raise DataError(
                f"{where}: column {name!r} is not text in UTF-8; write it as UTF-8, or leave the column out"
            ) from None
        if match := re.search(r"Expected (\d+) columns, got (\d+)", reason):
            more = int(match[2]) > int(match[1])
            reason = f"a row has {match[2]} cells where the header has {match[1]}" + (
                ": with decimal commas, perhaps; write 0.5 for 0,5" if more else ""
            )
        raise DataError(f"{where} cannot be read as CSV ({reason})") from None
    for position, name in enumerate(table.column_names):
        if name in as_text:
            table = table.set_column(position, name, _numbers_if_plain(table.column(position)))
    return table


def _numbers_if_plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as whole numbers where every one is written as such a number is: 7, but not 007."""
    if len(column) and pc.all(pc.match_substring_regex(column, WHOLE_NUMBER)).as_py():
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:  # beyond 64 bits
            pass
    return column


def no_numbers(column: pa.ChunkedArray) -> str:
    """What a column holds that should be numbers, for a message: its type, or numbers with decimal commas."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        commas = column.filter(pc.fill_null(pc.match_substring_regex(column, DECIMAL_COMMA), False))
        if len(commas):
            return f"numbers with decimal commas ({commas[0].as_py()!r}); write them with points"
    return str(column.type)
