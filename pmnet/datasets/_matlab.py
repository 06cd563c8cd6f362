"""Arrays of MATLAB files: version 5 by scipy, version 7.3, which is HDF5, by h5py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from scipy.io import loadmat

from pmnet.errors import InputError

MAX_NUMBERS: Final = 1 << 28  # 2 GiB of float64: a larger claim is a damaged file


def read_mat5(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Return those variables of a MATLAB v5 file that are among `keys`."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    try:
        return {k: v for k, v in loadmat(path, variable_names=keys).items() if k in keys}
    except Exception as error:  # damaged bytes fail in a dozen ways
        raise InputError(
            f"{path}: not a readable MATLAB v5 file, or cut short ({error!r:.200}); copy it anew"
        ) from None


def read_mat73(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Return those variables of a MATLAB v7.3 file that are among `keys`, axes as HDF5 has them."""
    try:
        with h5py.File(path, "r") as file:
            return {key: _own(path, file, key) for key in keys if key in file}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a readable MATLAB v7.3 (HDF5) file, or cut short ({error}); copy it anew"
        ) from None


def cells(path: Path, values: dict[str, Any], key: str, count: int) -> list[np.ndarray]:
    """Return the `count` arrays of a cell array."""
    if key not in values:
        raise InputError(
            f"{path}: key {key!r} is missing; found {', '.join(sorted(values)) or 'none of them'}"
        )
    found = np.asarray(values[key])
    if found.dtype != object or found.size != count:
        raise InputError(
            f"{path}: {key!r} is {found.dtype} of shape {found.shape}; expected {count} cells, one a "
            "camera"
        )
    return list(found.ravel())


def _own(path: Path, file: h5py.File, key: str) -> np.ndarray:
    """Return a data set of the file itself: links into other files are not followed."""
    link, found = file.get(key, getlink=True), None
    if isinstance(link, h5py.HardLink):
        found = file[key]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise InputError(f"{path}: {key!r} is no array of the file itself; copy the file anew")
    if found.size is None or found.size > MAX_NUMBERS:
        raise InputError(f"{path}: {key!r} is of shape {found.shape}; the file is damaged")
    return np.asarray(found)
