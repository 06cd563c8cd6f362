"""Arrays of HDF5 files (MPII's h5, MATLAB 7.3): only data that are stored in the file itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import h5py
import numpy as np

from pmnet.core.errors import InputError
from pmnet.formats.kinds import cure_of

MAX_BYTES: Final = 1 << 31  # of one array; a larger size is damage


def read_hdf5(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the arrays of an HDF5 file that are among `keys`.

    Raises InputError where the file is not readable HDF5, or an array lies in another file.
    """
    try:
        with h5py.File(path, "r") as file:
            return {key: _own(path, file, key) for key in keys if key in file}
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a readable HDF5 file, or cut short ({error}); {_cure(path, error)}"
        ) from None


def _cure(path: Path, error: Exception) -> str:
    if "lock" in str(error):
        return "another program has it open: close that, or set HDF5_USE_FILE_LOCKING=FALSE"
    return cure_of(path)


def _own(path: Path, file: h5py.File, key: str) -> np.ndarray:
    """Return an array stored in the file itself: links into other files are not followed."""
    link = file.get(key, getlink=True)
    data = file[key] if isinstance(link, h5py.HardLink) else None
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
        raise InputError(
            f"{path}: {key!r} is not an array stored in the file itself; copy the file anew"
        )
    if data.size is None or data.nbytes > MAX_BYTES:
        raise InputError(f"{path}: {key!r} is of shape {data.shape}; the file is damaged")
    return np.asarray(data)
