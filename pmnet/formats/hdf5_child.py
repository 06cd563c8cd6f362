"""Reads arrays of an HDF5 file in a process of its own: `python hdf5_child.py FILE LIMIT KEY ...`.

The library of HDF5 is native code that may crash or loop on damaged bytes; here only this process ends. On
standard output it writes, for each key that is there, a line of JSON and the bytes of the array; for a
file that is refused, a line with `refused`. It imports nothing of pmnet, so that it starts fast.
"""

import json
import resource
import sys
from typing import Any

import h5py
import numpy as np

MORE_BYTES = 2_000_000_000  # of address space, for Python and its libraries
MOST_CPU_S = 120


def main(path: str, limit: int, keys: list[str]) -> None:
    """Write the arrays of `keys`, each of at most `limit` bytes, to standard output."""
    _set_limits(2 * limit + MORE_BYTES)
    try:
        with h5py.File(path, "r") as file:
            arrays = {key: _own(file, key, limit) for key in keys if key in file}
    except _RefusedError as error:
        _write({"refused": str(error)})
    except Exception as error:  # damaged bytes fail in a dozen ways
        _write({"damaged": f"{error!s:.300}" or type(error).__name__})
    else:
        for key, array in arrays.items():
            _write({"key": key, "dtype": array.dtype.str, "shape": array.shape}, array.tobytes())


class _RefusedError(Exception):
    """Why an array is not read."""


def _own(file: h5py.File, key: str, limit: int) -> np.ndarray:
    """Return an array stored in the file itself: links into other files are not followed."""
    link = file.get(key, getlink=True)
    data = file[key] if isinstance(link, h5py.HardLink) else None
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
        raise _RefusedError(
            f"{key!r} is not an array stored in the file itself; copy the file anew"
        )
    if data.size is None or data.nbytes > limit:
        raise _RefusedError(f"{key!r} is of shape {data.shape}; the file is damaged")
    array = np.asarray(data)
    return array if array.dtype.kind in "biufSU" else _texts(key, array)


def _texts(key: str, array: np.ndarray) -> np.ndarray:
    """Return texts of variable length as bytes of one length."""
    values: list[Any] = array.ravel().tolist() if array.dtype.kind == "O" else [None]
    texts = [value.encode() if isinstance(value, str) else value for value in values]
    if not all(isinstance(text, bytes) for text in texts):
        raise _RefusedError(f"{key!r} holds neither numbers nor texts")
    return np.array(texts, "S").reshape(array.shape)


def _set_limits(address_space: int) -> None:
    for name, value in (("AS", address_space), ("CPU", MOST_CPU_S), ("CORE", 0)):
        kind = getattr(resource, f"RLIMIT_{name}")
        most = resource.getrlimit(kind)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        try:
            resource.setrlimit(kind, (value, most))
        except (OSError, ValueError):  # macOS has no limit of the address space
            continue


def _write(header: dict[str, Any], content: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + content)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
