"""Files of arrays: what a header or an archive claims is refused where the bytes cannot be there."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymeter.schema.array_files import PICKLED, array_of, arrays_in, arrays_of


def npy(values) -> bytes:
    """A .npy file."""
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def npz(compressed: bool = False, **arrays) -> bytes:
    """A .npz file."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def claiming(shape: tuple[int, ...], data: bytes = b"", descr: str = "<f8") -> bytes:
    """A .npy file whose header says a shape, whatever follows."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.zeros((0, 3)),
        np.float32(7),
        np.array(["a", "bcd"]),
        np.array([True, False]),
        np.arange(5, dtype=">i4"),
    ],
)
def test_arrays_come_as_numpy_itself_reads_them(values):
    """Values, type and order in memory."""
    for array in (
        array_of(io.BytesIO(npy(values))),
        arrays_in(npz(x=values))["x"],
        arrays_in(npz(True, x=values))["x"],
    ):
        plain = np.load(io.BytesIO(npy(values)))
        np.testing.assert_array_equal(array, plain)
        assert array.dtype == plain.dtype and array.flags.f_contiguous == plain.flags.f_contiguous


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "its header is damaged, or it is no .npy file"),
        (b"x" * 100, "its header is damaged"),
        (npy(np.arange(5.0))[:40], "its header is damaged"),
        (npy(np.arange(5.0))[:-1], r"its header says 40 bytes, shape \[5\], and it holds 39: it is cut off"),
        (claiming((2**40, 2**20)), r"says 9223372036854775808 bytes, shape .* and it holds 0"),
        (claiming((2**62, 8)), "it holds 0"),
        (claiming((-1, 8), bytes(64)), "its header is damaged|shape"),
        (npy(np.array([{}], dtype=object)), PICKLED),
        (npz(x=np.arange(3)), r"it holds several arrays \(.npz\) where one is needed"),
    ],
)
def test_a_damaged_npy_is_refused(data, reason):
    """Before memory is taken for what it claims."""
    with pytest.raises(ValueError, match=reason):
        array_of(io.BytesIO(data))


def encrypted(data: bytes) -> bytes:
    """An archive that says of its members that they are encrypted."""
    changed = bytearray(data)
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = changed.find(mark)
        changed[place + flags] |= 1
    return bytes(changed)


def compressed_by(method: int) -> bytes:
    """An archive that names a method of compression."""
    changed = bytearray(npz(x=np.arange(9)))
    for mark, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        struct.pack_into("<H", changed, changed.find(mark) + place, method)
    return bytes(changed)


def overlong() -> bytes:
    """An archive whose member unpacks to less than its directory says."""
    changed = bytearray(npz(True, x=np.zeros(4000)))
    place = changed.find(b"PK\1\2") + 24
    struct.pack_into("<I", changed, place, 2**31)
    return bytes(changed)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "damaged"),
        (npz(x=np.arange(9))[:-30], "damaged"),
        (npz(x=np.arange(900)).replace(b"\x07\x01", b"\x07\x02"), "damaged .Bad CRC-32"),
        (encrypted(npz(x=np.arange(9))), "it is encrypted; save it without a password"),
        (compressed_by(77), "compressed in a way that Python does not know; save it with numpy.savez"),
        (npz(x=np.array([{}], dtype=object)), PICKLED),
        (overlong(), "2 GiB, .* times its size"),
    ],
)
def test_a_damaged_archive_is_refused(data, reason):
    """Each kind with its own reason."""
    with pytest.raises(ValueError, match=reason):
        arrays_in(data)


def test_an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused(monkeypatch):
    """Zeros beyond what any archive may have; a small one may."""
    data = npz(True, x=np.zeros(2**21))
    assert len(arrays_in(data)["x"]) == 2**21
    monkeypatch.setattr("raymeter.schema.array_files.UNPACKED", 2**20)
    with pytest.raises(
        ValueError, match=r"it would unpack to 0.0156 GiB, 1,0\d\d times its size; save it without compr"
    ):
        arrays_in(data)


def test_zeros_and_ones_of_a_real_table_are_no_bomb():
    """A sparse table that packs well is read."""
    table = (np.random.default_rng(0).random((2000, 600)) < 0.02).astype(np.float32)
    np.testing.assert_array_equal(arrays_in(npz(True, x=table))["x"], table)


def test_arrays_that_are_needed_are_named():
    """An archive that lacks some says which it has."""
    with pytest.raises(ValueError, match="it has arrays a, b, and needs x and y"):
        arrays_of(io.BytesIO(npz(a=np.arange(2), b=np.arange(2))), ("x", "y"))


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7), packed=st.booleans())
def test_no_flipped_bit_does_anything_else(place, bit, packed):
    """A file with any bit flipped is read or refused by ValueError."""
    for data, read in (
        (npy(np.arange(20.0)), lambda d: array_of(io.BytesIO(d))),
        (npz(packed, x=np.arange(20)), arrays_in),
    ):
        changed = bytearray(data)
        changed[place % len(changed)] ^= 1 << bit
        try:
            read(bytes(changed))
        except ValueError:
            pass
