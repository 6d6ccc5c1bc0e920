"""Files that others wrote, read without unpickling; shapes, ids and 0/1 values are checked, never assumed.

A shape that fits only when it is transposed, ids that are missing and values that cannot be what they are called
are errors with a remedy.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int64
from pyarrow import parquet

from raymeter.errors import DataError, first_line
from raymeter.formats.csv_files import no_numbers, read_csv
from raymeter.formats.parquet_files import read_parquet
from raymeter.schema.array_files import PICKLED as OBJECTS
from raymeter.schema.array_files import allowed_size, array_of, arrays_of, refuse_bomb
from raymeter.schema.ids import Ids, as_ids
from raymeter.schema.plain_arrays import plain_array
from raymeter.schema.plain_files import file_bytes, require_file

AS_TEXT = ("id", "target", "group", "user_id", "separable_id")  # columns of names, which are kept as they are written
TABLES = (".parquet", ".pq", ".csv")
PICKLED = (
    "is no .npy file of plain numbers (pickled Python objects, perhaps), and raymeter unpickles nothing; where you "
    "trust it, convert it in your own environment: python -c \"import numpy as np; np.save('{new}', "
    "np.asarray(np.load('{old}', allow_pickle=1).tolist()))\""
)
PICKLED_TENSOR = (
    "holds more than plain tensors, and raymeter unpickles nothing else; where you trust it, convert it in your own "
    "environment: python -c \"import torch, numpy as np; np.save('{new}', np.asarray(torch.load('{old}', "
    'weights_only=0)))"'
)


def load_array(path: Path) -> np.ndarray:
    """The array of a .npy file, or of a .pt or .pth file that holds one plain tensor.

    Raises:
        DataError: The file is missing or damaged, or only unpickling could read it: the command that converts it.
    """
    try:
        if path.suffix in (".pt", ".pth"):
            return _load_tensor(path)
        with require_file(path).open("rb") as file:
            return array_of(file)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); check the path") from None
    except ValueError as error:
        if str(error) == OBJECTS:
            raise DataError(f"{path} {PICKLED.format(old=path, new=path.with_suffix('.plain.npy'))}") from None
        raise DataError(f"{path} is no .npy file that can be read: {first_line(error)}; get it again") from None


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a .npz file by name.

    Raises:
        DataError: As `load_array`.
    """
    try:
        with require_file(path).open("rb") as file:
            return arrays_of(file)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        if str(error) == OBJECTS:
            raise DataError(
                f"{path} holds pickled Python objects, and raymeter unpickles nothing; save plain arrays with "
                "np.savez(path, name=array)"
            ) from None
        raise DataError(f"{path} cannot be read as .npz ({first_line(error)}); write it with np.savez") from None


def _load_tensor(path: Path) -> np.ndarray:
    import pickle

    import torch  # a second to load, and most files are arrays

    with require_file(path).open("rb") as file:
        try:
            refuse_bomb(file)
        except ValueError as error:
            raise DataError(f"{path} cannot be read: {error}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds of tensors that torch calls unfinished
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DataError(f"{path} {PICKLED_TENSOR.format(old=path, new=path.with_suffix('.npy'))}") from None
    except OSError:
        raise
    except Exception:  # a damaged stream can fail in any way
        raise DataError(f"{path} is damaged or not a torch file; get it again") from None
    if not isinstance(content, torch.Tensor):
        raise DataError(f"{path} holds a {type(content).__name__} where one tensor is needed; save the tensor alone")
    limit = allowed_size(path.stat().st_size)
    if str(content.layout) == "torch.strided" and content.numel() * content.element_size() > limit:
        raise DataError(
            f"{path} holds a tensor {list(content.shape)} that repeats its values; save it with .contiguous()"
        )
    return plain_array(content, str(path), limit)


def read_table(path: Path) -> pa.Table:
    """A Parquet (.parquet, .pq) or CSV file as a table.

    Raises:
        DataError: It cannot be read, or two columns have one name.
    """
    if path.suffix not in TABLES:
        raise DataError(
            f"{path} is not a table: give a file that ends in {', '.join(TABLES)} (signals go with --signals)"
        )
    try:
        table = read_csv(file_bytes(path), str(path), AS_TEXT) if path.suffix == ".csv" else _read_parquet(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}); give a Parquet or CSV file") from None
    doubled = next((name for name in table.column_names if table.column_names.count(name) > 1), None)
    if doubled is not None:
        raise DataError(f"{path} has two columns {doubled!r}; leave one out")
    binary = next((field.name for field in table.schema if pa.types.is_binary(field.type)), None)
    if binary is not None:
        raise DataError(f"{path}: column {binary!r} is not text in UTF-8; write it as UTF-8, or leave the column out")
    return table


def _read_parquet(path: Path) -> pa.Table:
    """A file, or a directory of files as Spark writes it."""
    return parquet.read_table(path) if path.is_dir() else read_parquet(require_file(path))


def names_in(table: pa.Table, column: str, path: Path | str) -> Ids:
    """A column of ids as they stand: whole numbers where all are, else texts; dates and floats become texts.

    Raises:
        DataError: Names are missing, or are nothing that names a record.
    """
    cells, what = table.column(column), f"{path}: {column}"
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    empty = pc.sum(pc.equal(cells, "")).as_py() if pa.types.is_string(cells.type) else 0
    if missing := cells.null_count + (empty or 0):
        raise DataError(f"{path}: {missing} rows have no {column}; fill them or leave the rows out")
    if pa.types.is_date(cells.type) or pa.types.is_time(cells.type) or pa.types.is_decimal(cells.type):
        cells = cells.cast(pa.string())
    return as_ids(cells.to_numpy(zero_copy_only=False), what)


def numbers_in(table: pa.Table, column: str, where: Path | str) -> np.ndarray:
    """A column of numbers, or of true and false.

    Raises:
        DataError: It holds something else; decimal commas are named.
    """
    cells = table.column(column)
    kind = cells.type
    if not (
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    ):
        raise DataError(f"{where}: {column} must be numbers, got {no_numbers(cells)}")
    values: np.ndarray = cells.to_numpy(zero_copy_only=False)
    return values


def whole_numbers(values: np.ndarray, what: str) -> Int64[np.ndarray, " entries"]:
    """A vector of whole numbers.

    Raises:
        DataError: It is not a vector, or holds something else.
    """
    if values.ndim != 1 or values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and (values % 1 != 0).any()):
        raise DataError(
            f"{what} must be a vector of whole numbers, got {values.dtype}{list(values.shape)}; "
            "save it with astype('int64')"
        )
    if values.dtype == np.uint64 and values.max(initial=0) > np.iinfo(np.int64).max:
        raise DataError(f"{what} must be below 2**63, got {values.max()}; number records anew, or name them by texts")
    return values.astype(np.int64)


def truth(values: np.ndarray, what: str) -> np.ndarray:
    """An array of 0 and 1, or of False and True, as bool.

    Raises:
        DataError: Names the first other value.
    """
    if values.dtype == np.bool_:
        return values
    if values.dtype.kind not in "iuf":
        first = f"{values.flat[0]!s:.40}" if values.size else "nothing"
        raise DataError(
            f"{what} must be 0 or 1 (or False and True), got {first!r} ({values.dtype}); turn it into 1 for member and "
            "0 for non-member"
        )
    odd = values[(values != 0) & (values != 1)]
    if odd.size:
        raise DataError(f"{what} must be 0 or 1, got {odd.flat[0]}; turn labels into 1 for member and 0 for non-member")
    member: np.ndarray = values == 1
    return member


def oriented(mask: np.ndarray, records: int, models: int, what: str) -> Bool[np.ndarray, "records models"]:
    """A membership matrix [records, models].

    Raises:
        DataError: It has another shape; if it is the transpose, the message says so.
    """
    if mask.shape == (records, models):
        return truth(mask, what)
    hint = ": it is transposed" if mask.shape == (models, records) else ""
    raise DataError(f"{what} must be [records, models] = [{records}, {models}], got {list(mask.shape)}{hint}")


def unique_ids(ids: Ids, what: str) -> Ids:
    """Ids that name each record once.

    Raises:
        DataError: Names the first id that appears twice.
    """
    ordered = np.sort(ids)
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if twice.size:
        raise DataError(f"{what}: record {ordered[twice[0]]} appears twice; give each record one row")
    return ids
