"""What users hand over as arrays: tensors of every kind, sparse matrices, lists; one line for what is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from raymeter.errors import DataError
from raymeter.schema.plain_arrays import plain_array

VALUES = np.array([[0.0, 1.5, 0.0], [2.0, 0.0, -0.5]])
PLAIN = torch.tensor(VALUES, dtype=torch.float32)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda: PLAIN, np.float32),
        (lambda: PLAIN.to(torch.bfloat16), np.float32),
        (lambda: PLAIN.to(torch.float8_e4m3fn), np.float32),
        (lambda: PLAIN.to(torch.float8_e5m2), np.float32),
        (lambda: PLAIN.to(torch.float16), np.float16),
        (lambda: PLAIN.clone().requires_grad_(), np.float32),
        (lambda: torch.nn.Parameter(PLAIN), np.float32),
        (lambda: torch.nn.Parameter(PLAIN.to(torch.bfloat16)), np.float32),
        (lambda: PLAIN.to_sparse(), np.float32),
        (lambda: PLAIN.to_sparse_csr(), np.float32),
        (lambda: PLAIN.to_sparse_csc(), np.float32),
        (lambda: PLAIN.to_mkldnn(), np.float32),
        (lambda: PLAIN.to(torch.bfloat16).to_sparse(), np.float32),
        (lambda: PLAIN.clone().requires_grad_().to_sparse(), np.float32),
        (lambda: torch.quantize_per_tensor(PLAIN, 0.5, 0, torch.qint8), np.float32),
        (lambda: PLAIN.T.contiguous().T, np.float32),
        (lambda: sparse.csr_matrix(VALUES), np.float64),
        (lambda: sparse.coo_array(VALUES), np.float64),
        (lambda: sparse.dok_matrix(VALUES), np.float64),
        (lambda: [row for row in PLAIN.to(torch.bfloat16)], np.float32),
        (lambda: tuple(row.clone().requires_grad_() for row in PLAIN), np.float32),
        (lambda: VALUES.tolist(), np.float64),
        (lambda: np.ma.masked_invalid(VALUES), np.float64),
        (lambda: np.array([*VALUES, None], dtype=object)[:2], np.float64),
    ],
)
def test_numbers_arrive_as_they_are(make, dtype):
    """Types that NumPy lacks become float32; gradients, sparseness and lists are left behind."""
    array = plain_array(make(), "x")
    assert (type(array), array.dtype) == (np.ndarray, dtype)
    np.testing.assert_array_equal(array, VALUES)


def test_complex_tensors_stay_complex():
    """Their imaginary parts are not dropped: whoever needs real numbers sees what they are."""
    array = plain_array(torch.tensor([1 + 2j]).conj(), "x")
    assert array.tolist() == [1 - 2j]


class Unwilling:
    """Refuses to become an array."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("ask for numpy() first\nand more")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: [[1.0, 2.0], [1.0]],
            "x: its rows differ in length: row 0 has 2 values, row 1 has 1 values; pad or cut them",
        ),
        (lambda: [[1.0], 2.0], "x: its rows differ in length: row 0 has 1 values, row 1 has a single value"),
        (
            lambda: [torch.ones(2), torch.ones(3)],
            "x: its rows differ in length: row 0 has 2 values, row 1 has 3 values",
        ),
        (lambda: np.array([[1.0], [1.0, 2.0]], dtype=object), "x: its rows differ in length"),
        (lambda: [[[1], [1, 2]], [[1], [1]]], "x is list, of which NumPy makes no array (ValueError: "),
        (
            lambda: torch.nested.as_nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
            "x is a nested tensor",
        ),
        (lambda: torch.ones(2, device="meta"), "x is a tensor on the device meta, which has no values"),
        (
            lambda: sparse.csr_matrix((10**9, 10**9)),
            "x is sparse, [1000000000, 1000000000], and would take 7.45e+09 GiB",
        ),
        (lambda: torch.eye(2).to_sparse().sparse_resize_((10**6, 10**6), 2, 0), "x is sparse, [1000000, 1000000]"),
        (lambda: np.ma.masked_equal(VALUES, 0), "x has 3 masked values, the first at [0, 0]; fill them in"),
        (lambda: [np.ma.masked_equal([1, 0], 0)], "x[0] has 1 masked values, the first at [1]"),
        (lambda: (row for row in VALUES), "x is generator, of which NumPy makes no array; give an array or a list"),
        (lambda: {1.0, 2.0}, "x is set, of which NumPy makes no array; give an array or a list"),
        (
            lambda: Unwilling(),
            "x is Unwilling, of which NumPy makes no array (RuntimeError: ask for numpy() first); give an",
        ),
    ],
)
def test_what_is_no_array_is_one_line(make, message):
    """What it is, why, and the way out."""
    with pytest.raises(DataError) as error:
        plain_array(make(), "x")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_the_limit_of_something_sparse_is_the_callers():
    """What fits is written out, what does not is refused."""
    matrix = sparse.csr_matrix(VALUES)
    np.testing.assert_array_equal(plain_array(matrix, "x", limit=48), VALUES)
    with pytest.raises(DataError, match="x is sparse"):
        plain_array(matrix, "x", limit=47)


def test_types_that_packages_add_to_numpy_become_float32():
    """bfloat16 of JAX, which has no kind of number that NumPy knows."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    array = plain_array(VALUES.astype(bfloat16), "x")
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, VALUES)
