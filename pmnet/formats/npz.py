"""Arrays in npz files. Nothing is run: texts that were saved as Python objects are read by our own reader.

`np.savez` pickles an array of objects. Some releases of HMR 2.0, BEDLAM and similar data have such arrays
of image names; numpy can only run the pickle or refuse the file. `read_npz` reads plain arrays;
`read_texts_npz` reads arrays of objects too, as texts. Sizes are checked before data are read.
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
    """Return the arrays of an npz that are among `keys`; raises InputError where it is not an npz."""
    return _read(path, keys, False)


def read_texts_npz(path: Path, keys: Container[str]) -> dict[str, np.ndarray]:
    """Return the arrays of an npz that are among `keys`; arrays of objects as texts.

    Raises InputError where it is not an npz, or where an array of objects holds anything but texts.
    """
    return _read(path, keys, True)


def read_npy(path: Path) -> np.ndarray:
    """Return the array of an npy file; raises InputError where it is not one, or holds objects."""
    refuse_special(path)
    try:
        with path.open("rb") as stream:
            return _array(stream, path.stat().st_size, path.stem)
    except UNREADABLE as error:
        raise _unreadable(path, "npy", error) from None


def _read(path: Path, keys: Container[str], with_objects: bool) -> dict[str, np.ndarray]:
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
            return {k: _member(path, archive, k, m, with_objects) for k, m in wanted.items()}
    except InputError:
        raise
    except UNREADABLE as error:
        raise _unreadable(path, "npz", error) from None


def _refuse_bomb(path: Path, members: list[zipfile.ZipInfo]) -> None:
    held = sum(member.file_size for member in members)
    if held > largest_content(path):
        raise ValueError(f"its arrays are of {held:,} bytes, far more than the file has")
    if any(member.compress_type not in COMPRESSIONS for member in members):
        raise ValueError("it is compressed in a way that numpy does not write")


def _member(
    path: Path, archive: zipfile.ZipFile, key: str, member: zipfile.ZipInfo, with_objects: bool
) -> np.ndarray:
    if with_objects:
        with archive.open(member) as stream:
            if _header(cast(BufferedIOBase, stream))[2].hasobject:
                return _texts(path, key, stream.read())
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


def _texts(path: Path, key: str, pickled: bytes) -> np.ndarray:
    decoded = decode_pickle(pickled, f"{path}: {key!r}")
    texts = []
    for row, value in enumerate(np.asarray(decoded, dtype=object).ravel().tolist()):
        if not isinstance(value, str | bytes):
            kind = type(value).__name__
            raise InputError(
                f"{path}: {key!r} row {row} is a {kind}; expected texts. Save the file with plain arrays"
            )
        texts.append(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
    return np.array(texts, dtype=str).reshape(np.shape(decoded))


def _unreadable(path: Path, kind: str, error: BaseException) -> InputError:
    return InputError(f"{path}: not a readable .{kind} ({error}); copy or download it anew")
