"""Arrays in npz files. Nothing is run: arrays of Python objects are read by our own reader.

`np.savez` pickles an array of objects, and many users' files have such arrays: names, a gender, None. numpy
can only run the pickle or refuse the file; here the texts or numbers in it become a plain array.
"""

import tokenize
import zipfile
import zlib
from collections.abc import Container
from pathlib import Path
from typing import Final

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile

from pmnet.core.errors import InputError
from pmnet.formats.kinds import cure_of
from pmnet.formats.pickles import decode_pickle

# what numpy, zipfile and zlib raise on damaged bytes
UNREADABLE: Final = (
    *(OSError, EOFError, KeyError, ValueError, RuntimeError, NotImplementedError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


def npz_keys(path: Path) -> set[str]:
    """Return the keys of an npz from its list of contents alone; empty where it is not an npz."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return set()


def read_npz(path: Path, keys: Container[str]) -> dict[str, np.ndarray]:
    """Return the arrays of an npz that are among `keys`; a key that holds None is left out.

    Arrays of objects become arrays of texts or of numbers. Raises InputError where the file is not an npz, or
    where an array of objects holds anything else.
    """
    of_objects = _keys_of_objects(path, keys)
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, NpzFile):
            raise ValueError("it is one array")
        with archive:
            plain = [key for key in archive.files if key in keys and key not in of_objects]
            values = {key: archive[key] for key in plain}
    except UNREADABLE as error:
        raise InputError(f"{path}: not a readable .npz ({error}); {cure_of(path)}") from None
    objects = {key: _objects(path, key) for key in of_objects}
    return values | {key: held for key, held in objects.items() if held is not None}


def _keys_of_objects(path: Path, keys: Container[str]) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {key for key in npz_keys(path) if key in keys and _open(archive, key)[0]}
    except UNREADABLE:
        return set()  # np.load then raises the error


def _open(archive: zipfile.ZipFile, key: str, content: bool = False) -> tuple[bool, bytes]:
    """Return whether an array holds objects, and with `content` their pickle."""
    with archive.open(f"{key}.npy") as stream:
        first = npy.read_magic(stream) == (1, 0)
        header = (npy.read_array_header_1_0 if first else npy.read_array_header_2_0)(stream)
        return header[2].hasobject, stream.read() if content else b""


def _objects(path: Path, key: str) -> np.ndarray | None:
    """Return an array of objects as texts or numbers; None where it holds None alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = _open(archive, key, content=True)[1]
    except UNREADABLE as error:
        raise InputError(f"{path}: {key!r} cannot be read ({error}); copy the file anew") from None
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
