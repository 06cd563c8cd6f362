"""Arrays in npz files. Nothing is run: arrays of Python objects are read by our own reader.

`np.savez` pickles an array of objects, and many users' files have such arrays: names, a gender, None. numpy
can only run the pickle or refuse the file; here the texts or numbers in it become a plain array. Sizes are
checked before data are read.
"""

import math
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Container
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.lib import format as npy

from pmnet.core.errors import InputError
from pmnet.core.files import largest_content, refuse_special
from pmnet.formats.kinds import cure_of
from pmnet.formats.pickles import decode_pickle

# what numpy, zipfile and zlib raise on damaged bytes
UNREADABLE: Final = (
    *(OSError, EOFError, KeyError, ValueError, RuntimeError, NotImplementedError, TypeError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error, SyntaxError, MemoryError),
)
MAX_AXES: Final = 32
PART: Final = 1 << 20  # bytes
COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes


def npz_keys(path: Path) -> set[str]:
    """Return the keys of an npz from its list of contents alone; empty where it is not an npz."""
    try:
        refuse_special(path)
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except UNREADABLE:
        return set()


def read_npz(path: Path, keys: Container[str]) -> dict[str, np.ndarray]:
    """Return the arrays of an npz that are among `keys`; a key that holds None is left out.

    Arrays of objects become arrays of texts or of numbers. Raises InputError where the file is not an npz, or
    where an array of objects holds anything else.
    """
    refuse_special(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                member.filename.removesuffix(".npy"): member
                for member in archive.infolist()
                if member.filename.endswith(".npy")
            }
            wanted = {key: member for key, member in members.items() if key in keys}
            _refuse_bomb(path, list(wanted.values()))
            values = {key: _member(path, archive, key, m) for key, m in wanted.items()}
            return {key: value for key, value in values.items() if value is not None}
    except InputError:
        raise
    except UNREADABLE as error:
        raise _unreadable(path, "npz", error) from None


def read_npy(path: Path) -> np.ndarray:
    """Return the array of an npy file; raises InputError where it is not one, or holds objects."""
    refuse_special(path)
    try:
        with path.open("rb") as stream:
            return _array(stream, path.stat().st_size, path.stem)
    except UNREADABLE as error:
        raise _unreadable(path, "npy", error) from None


def _refuse_bomb(path: Path, members: list[zipfile.ZipInfo]) -> None:
    held = sum(member.file_size for member in members)
    if held > largest_content(path):
        raise ValueError(f"its arrays are of {held:,} bytes, far more than the file has")
    if any(member.compress_type not in COMPRESSIONS for member in members):
        raise ValueError("it is compressed in a way that numpy does not write")


def _member(
    path: Path, archive: zipfile.ZipFile, key: str, member: zipfile.ZipInfo
) -> np.ndarray | None:
    with archive.open(member) as stream:
        if _header(cast(BufferedIOBase, stream))[2].hasobject:
            return _objects(path, key, stream.read())
    with archive.open(member) as stream:
        return _array(cast(BufferedIOBase, stream), member.file_size, key)


def _header(stream: BufferedIOBase) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    first = npy.read_magic(stream) == (1, 0)
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] = (
        npy.read_array_header_1_0 if first else npy.read_array_header_2_0
    )(stream)
    return header


def _array(stream: BufferedIOBase, size: int, key: str) -> np.ndarray:
    """Return an array out of `size` bytes; ValueError where it says another size, or holds objects."""
    shape, is_fortran, dtype = _header(stream)
    if dtype.hasobject:
        raise ValueError(f"{key!r} holds objects; save it as a plain array")
    held, left = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if min(shape, default=0) < 0 or len(shape) > MAX_AXES or held != left:
        raise ValueError(f"{key!r} is of shape {shape}, but has {left} bytes")
    values = _filled(stream, held).view(dtype) if held else np.empty(math.prod(shape), dtype)
    if dtype.kind == "U" and held and values.view(dtype.byteorder + "u4").max() > sys.maxunicode:
        raise ValueError(f"{key!r} has characters that do not exist")
    return values.reshape(shape[::-1]).T if is_fortran else values.reshape(shape)


def _filled(stream: BufferedIOBase, size: int) -> np.ndarray:
    """Return the next `size` bytes, read in parts, so that they are in memory once."""
    values = np.empty(size, np.uint8)
    for start in range(0, size, PART):
        part = stream.read(min(PART, size - start))
        values[start : start + len(part)] = np.frombuffer(part, np.uint8)
        if len(part) < min(PART, size - start):
            raise EOFError("it ends too early")
    return values


def _objects(path: Path, key: str, pickled: bytes) -> np.ndarray | None:
    """Return an array of objects as texts or numbers; None where it holds None alone."""
    decoded = np.asarray(decode_pickle(pickled, f"{path}: {key!r}"), dtype=object)
    values = decoded.ravel().tolist()
    if values == [None]:
        return None
    if values and all(isinstance(value, str | bytes) for value in values):
        texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values]
        return np.array(texts, dtype=str).reshape(decoded.shape)
    try:
        numbers = np.array(decoded.tolist())
    except ValueError:  # rows of different lengths
        numbers = decoded
    if numbers.dtype.kind not in "biufc":
        row = next((r for r, v in enumerate(values) if not isinstance(v, str | bytes)), 0)
        kind = type(values[row]).__name__ if values else "nothing"
        raise InputError(
            f"{path}: {key!r} row {row} is a {kind}; expected texts or numbers of one shape. Save the file "
            "with plain arrays"
        )
    return numbers


def _unreadable(path: Path, kind: str, error: BaseException) -> InputError:
    return InputError(f"{path}: not a readable .{kind} ({error}); {cure_of(path)}")
