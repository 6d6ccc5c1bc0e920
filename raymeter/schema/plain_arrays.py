"""What a user hands over (arrays, tensors, sparse matrices, lists) as a plain array of numbers, or one line why not.

Tensors are known by the names of their types, so that torch is not loaded for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from raymeter.errors import DataError, type_and_line

DENSE_LIMIT = 4 * 2**30  # bytes that something sparse may take when it is written out, where nothing else is said


def plain_array(value: Any, what: str, limit: int | None = None) -> np.ndarray:
    """A value as a NumPy array; whether these are the numbers that are needed is for the caller to say.

    Tensors are detached and come to the CPU; types that NumPy lacks (bfloat16, float8, quantised) become float32.
    Sparse tensors and matrices are written out. Lists may hold any of these, in rows of equal length.

    Args:
        value: Of the user's.
        what: It is, for messages.
        limit: Bytes that something sparse may take when it is written out; DENSE_LIMIT where it is None.

    Raises:
        DataError: Rows differ in length, entries are masked, something sparse is too large, or no array comes of it.
    """
    limit = DENSE_LIMIT if limit is None else limit
    try:
        if _is_tensor(value):
            return _from_tensor(value, what, limit)
        if _is_sparse_matrix(value):
            return _from_sparse_matrix(value, what, limit)
        if isinstance(value, list | tuple) and any(_is_special(item) for item in value):
            value = [plain_array(item, f"{what}[{position}]", limit) for position, item in enumerate(value)]
        if isinstance(value, np.ma.MaskedArray):
            return _without_mask(value, what)
        if isinstance(value, list | tuple):
            _require_equal_rows(value, what)
        array = np.asarray(value)
    except DataError:
        raise
    except Exception as error:  # what a user's object does when it is asked for an array
        raise DataError(
            f"{what} is {type(value).__name__}, of which NumPy makes no array ({type_and_line(error)}); give an array "
            "of numbers"
        ) from None
    if array.dtype == object and array.ndim == 0 and value is not None:
        raise DataError(f"{what} is {type(value).__name__}, of which NumPy makes no array; give an array or a list")
    return _from_objects(array, what)


def _is_tensor(value: Any) -> bool:
    return any((kind.__module__, kind.__name__) == ("torch", "Tensor") for kind in type(value).__mro__)


def _is_sparse_matrix(value: Any) -> bool:
    return hasattr(value, "toarray") and any(k.__module__.startswith("scipy.sparse") for k in type(value).__mro__)


def _is_special(item: Any) -> bool:
    return _is_tensor(item) or _is_sparse_matrix(item) or isinstance(item, np.ma.MaskedArray)


def _from_tensor(tensor: Any, what: str, limit: int) -> np.ndarray:
    if tensor.is_nested:
        raise DataError(f"{what} is a nested tensor, whose rows may differ in length; pad or cut them to one shape")
    if tensor.is_meta:
        raise DataError(f"{what} is a tensor on the device meta, which has no values; give one with values")
    tensor = tensor.detach()
    if str(tensor.layout) != "torch.strided":
        _require_room(tensor.numel() * max(4, tensor.element_size()), tuple(tensor.shape), what, limit)
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = tensor.cpu().resolve_conj().resolve_neg()
    try:
        array: np.ndarray = tensor.numpy()
    except TypeError:  # a type that NumPy lacks
        if tensor.is_complex():
            raise
        array = tensor.float().numpy()
    return array


def _from_sparse_matrix(matrix: Any, what: str, limit: int) -> np.ndarray:
    _require_room(int(np.prod(matrix.shape, dtype=object)) * matrix.dtype.itemsize, matrix.shape, what, limit)
    array: np.ndarray = np.asarray(matrix.toarray())
    return array


def _require_room(size: int, shape: Sequence[int], what: str, limit: int) -> None:
    if size > limit:
        raise DataError(
            f"{what} is sparse, {list(shape)}, and would take {size / 2**30:.3g} GiB when it is written out, "
            f"{limit / 2**30:.3g} GiB at most; choose fewer features or records"
        )


def _without_mask(array: np.ma.MaskedArray[Any, Any], what: str) -> np.ndarray:
    masked = np.ma.getmaskarray(array)
    if masked.any():
        row = np.argwhere(masked)[0].tolist()
        raise DataError(
            f"{what} has {int(masked.sum())} masked values, the first at {row}; fill them in or drop their records"
        )
    return np.asarray(array.data)


def _require_equal_rows(rows: Sequence[Any], what: str) -> None:
    lengths = [_length(row) for row in rows]
    odd = next((position for position, length in enumerate(lengths) if length != lengths[0]), None)
    if odd is not None:
        raise DataError(
            f"{what}: its rows differ in length: row 0 has {_count(lengths[0])}, row {odd} has {_count(lengths[odd])}; "
            "pad or cut them to one length"
        )


def _length(row: Any) -> int | None:
    if not hasattr(row, "__len__") or isinstance(row, str | bytes) or not getattr(row, "shape", (1,)):
        return None
    return len(row)


def _count(length: int | None) -> str:
    return "a single value" if length is None else f"{length} values"


def _from_objects(array: np.ndarray, what: str) -> np.ndarray:
    """An array of arrays or lists (a column of a table, say) as one array; any other as it is.

    Types that a package has added to NumPy (bfloat16 of JAX) become float32.
    """
    if array.dtype.kind == "V" and array.dtype.type is not np.void:
        return array.astype(np.float32)
    if array.dtype != object or array.ndim != 1 or not len(array) or not hasattr(array[0], "__len__"):
        return array
    if any(isinstance(row, str | bytes) for row in array):
        return array
    return plain_array(array.tolist(), what)
