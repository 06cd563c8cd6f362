"""Arrays in npz files. Nothing is run: texts that were saved as Python objects are read by our own reader.

`np.savez` pickles an array of objects. Some releases of HMR 2.0, BEDLAM and similar data have such arrays
of image names; numpy can only run the pickle or refuse the file. `read_npz` reads plain arrays;
`read_texts_npz` reads arrays of objects too, as texts.
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
    """Return the arrays of an npz that are among `keys`; raises InputError where it is not an npz."""
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, NpzFile):
            raise ValueError("it is one array")
        with archive:
            return {key: archive[key] for key in archive.files if key in keys}
    except UNREADABLE as error:
        raise InputError(
            f"{path}: not a readable .npz ({error}); copy or download it anew"
        ) from None


def read_texts_npz(path: Path, keys: Container[str]) -> dict[str, np.ndarray]:
    """Return the arrays of an npz that are among `keys`; arrays of objects as texts.

    Raises InputError where it is not an npz, or where an array of objects holds anything but texts.
    """
    of_objects = _keys_of_objects(path, keys)
    values = read_npz(path, {key for key in npz_keys(path) if key in keys} - of_objects)
    return values | {key: _texts(path, key) for key in of_objects}


def _keys_of_objects(path: Path, keys: Container[str]) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {key for key in npz_keys(path) if key in keys and _open(archive, key)[0]}
    except UNREADABLE:
        return set()  # read_npz then raises the error


def _open(archive: zipfile.ZipFile, key: str, content: bool = False) -> tuple[bool, bytes]:
    """Return whether an array holds objects, and with `content` their pickle."""
    with archive.open(f"{key}.npy") as stream:
        first = npy.read_magic(stream) == (1, 0)
        header = (npy.read_array_header_1_0 if first else npy.read_array_header_2_0)(stream)
        return header[2].hasobject, stream.read() if content else b""


def _texts(path: Path, key: str) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = _open(archive, key, content=True)[1]
    except UNREADABLE as error:
        raise InputError(f"{path}: {key!r} cannot be read ({error}); copy the file anew") from None
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
