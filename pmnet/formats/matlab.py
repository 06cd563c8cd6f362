"""Arrays of MATLAB v5 files; files of version 7.3 are HDF5 (`hdf5.py`).

Version 5 is not read by `scipy.io.loadmat`, whose native code ends the process on some damaged files. Data
sets need only numbers and cells of numbers. A file is a list of elements: a tag (type, number of bytes) and
data, padded to 8 bytes. A variable is an element, often compressed, that holds the elements flags, shape,
name and numbers or cells. All sizes are checked before data are used.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from pmnet.core.errors import InputError
from pmnet.core.files import largest_content, refuse_special
from pmnet.formats.kinds import cure_of

MOST_ELEMENTS: Final = 10_000  # of one array, and variables of a file
HEADER: Final = 128  # bytes
NUMBERS: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"} | {
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
MATRIX, COMPRESSED, CELL, COMPLEX = 14, 15, 1, 0x800
NUMERIC: Final = range(6, 16)  # classes of arrays, double to uint64
Order = Literal["<", ">"]


class _DamagedError(Exception):
    """What is wrong with the bytes; `read_mat5` adds the name of the file."""


def read_mat5(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Return the variables of a MATLAB v5 file that are among `keys`; cells are arrays of objects."""
    refuse_special(path)
    try:
        most = largest_content(path)
        content = memoryview(path.read_bytes())
        order: Order = "<" if content[HEADER - 2 : HEADER] == b"IM" else ">"
        if content[HEADER - 2 : HEADER] not in (b"IM", b"MI"):
            raise _DamagedError("it has another header")
        variables: dict[str, Any] = {}
        for kind, data in _elements(content[HEADER:], order):
            name, values = _variable(kind, data, order, keys, most)
            if values is not None:
                variables[name] = values
        return variables
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (_DamagedError, struct.error, zlib.error, ValueError) as error:
        raise InputError(
            f"{path}: not a readable MATLAB v5 file, or cut short ({error}); {cure_of(path)}"
        ) from None


def _elements(data: memoryview, order: Order) -> Iterator[tuple[int, memoryview]]:
    """Yield the type and the data of each element."""
    at = count = 0
    while at < len(data):
        count += 1
        if count > MOST_ELEMENTS:
            raise _DamagedError(f"it has more than {MOST_ELEMENTS:,} parts")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:  # short form: the tag itself holds up to four bytes of data
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start = at + 8
            end = start + size + (0 if kind == COMPRESSED else -size % 8)
        if start + size > min(end, len(data)):
            raise _DamagedError("an element is longer than its container")
        yield kind, data[start : start + size]
        at = end


def _variable(
    kind: int, data: memoryview, order: Order, keys: Sequence[str], most: int
) -> tuple[str, Any]:
    """Return the name and the values of a variable; None for values that are not wanted."""
    if kind == COMPRESSED:
        inflater = zlib.decompressobj()
        inflated = inflater.decompress(data, most)
        if inflater.unconsumed_tail or not inflater.eof:
            raise _DamagedError("a variable is too large or cut short")
        ((kind, data),) = list(_elements(memoryview(inflated), order))[:1] or [(0, data)]
    if kind != MATRIX:
        raise _DamagedError(f"an element of type {kind} is not a variable")
    name = _array_elements(data, order)[2]
    return name, _matrix(data, order, may_hold_cells=True) if name in keys else None


def _array_elements(data: memoryview, order: Order) -> tuple[int, list[int], str, list[Any]]:
    """Return the flags, shape and name of an array, and its other elements."""
    elements = list(_elements(data, order))
    if len(elements) < 3 or len(elements[0][1]) != 8 or len(elements[1][1]) % 4:
        raise _DamagedError("an array lacks flags, shape or name")
    shape = np.frombuffer(elements[1][1], f"{order}i4").tolist()
    if min(shape, default=-1) < 0:
        raise _DamagedError(f"an array has the shape {shape}")
    (flags,) = struct.unpack_from(f"{order}I", elements[0][1])
    return flags, shape, bytes(elements[2][1]).decode("latin1"), elements[3:]


def _matrix(data: memoryview, order: Order, may_hold_cells: bool) -> np.ndarray:
    if not len(data):  # MATLAB's []
        return np.zeros((0, 0))
    flags, shape, name, elements = _array_elements(data, order)
    if flags & 0xFF == CELL and may_hold_cells:
        if len(elements) != math.prod(shape) or any(kind != MATRIX for kind, _ in elements):
            raise _DamagedError(f"{name!r} holds {len(elements)} cells of {shape}")
        held = np.empty(len(elements), object)
        for index, (_, cell) in enumerate(elements):
            held[index] = _matrix(cell, order, may_hold_cells=False)
        return held.reshape(shape, order="F")
    if flags & 0xFF not in NUMERIC or flags & COMPLEX or len(elements) != 1:
        raise _DamagedError(f"{name!r} does not hold real numbers")
    kind, numbers = elements[0]
    if kind not in NUMBERS:
        raise _DamagedError(f"{name!r} holds numbers of type {kind}")
    values = np.frombuffer(numbers, order + NUMBERS[kind])
    if len(values) != math.prod(shape):
        raise _DamagedError(f"{name!r} holds {len(values)} numbers for the shape {shape}")
    return values.reshape(shape, order="F").astype(values.dtype.newbyteorder("="))


def cells(path: Path, values: dict[str, Any], key: str, count: int) -> list[np.ndarray]:
    """Return the `count` arrays of a cell array."""
    if key not in values:
        raise InputError(
            f"{path}: key {key!r} is missing; found {', '.join(sorted(values)) or 'none of them'}"
        )
    array = np.asarray(values[key])
    if array.dtype != object or array.size != count:
        raise InputError(
            f"{path}: {key!r} is {array.dtype} of shape {array.shape}; expected {count} cells, one per "
            "camera"
        )
    return list(array.ravel())
