"""Arrays of HDF5 files (MPII's h5, MATLAB 7.3): only data that are stored in the file itself."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.core.files import largest_content, refuse_special
from pmnet.formats import hdf5_child
from pmnet.formats.kinds import cure_of

MOST_S: Final = 300  # for one file


def read_hdf5(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the arrays of an HDF5 file that are among `keys`; texts are bytes of one length.

    A process of its own reads the file (see `hdf5_child`). Raises InputError where the file is not
    readable HDF5, or an array lies in another file or is far larger than the file.
    """
    refuse_special(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    # -P: beside the script lies a module with the name `json`
    script = [sys.executable, "-P", hdf5_child.__file__]
    command = [*script, str(path), str(largest_content(path)), *keys]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=MOST_S)
    except subprocess.TimeoutExpired:
        raise _damaged(path, f"not read after {MOST_S} s") from None
    if done.returncode:
        raise _damaged(path, _end(done.returncode, done.stderr))
    return _arrays(path, done.stdout)


def _arrays(path: Path, output: bytes) -> dict[str, np.ndarray]:
    arrays, at = {}, 0
    while at < len(output):
        end = output.index(b"\n", at)
        header = json.loads(output[at:end])
        if reason := header.get("refused"):
            raise InputError(f"{path}: {reason}")
        if reason := header.get("damaged"):
            raise _damaged(path, reason)
        dtype, shape = np.dtype(header["dtype"]), header["shape"]
        values = np.frombuffer(output, dtype, math.prod(shape), end + 1)
        arrays[header["key"]] = values.reshape(shape).astype(dtype.newbyteorder("="))
        at = end + 1 + values.nbytes
    return arrays


def _end(code: int, stderr: bytes) -> str:
    """Return how the process that read the file ended."""
    with suppress(ValueError):
        return f"reading it ended in {signal.Signals(-code).name}"
    last = (stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
    return f"reading it failed: {last:.200}"


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path}: not a readable HDF5 file, or cut short ({reason}); {_cure(path, reason)}"
    )


def _cure(path: Path, reason: str) -> str:
    if "lock" in reason:
        return "another program has it open: close that, or set HDF5_USE_FILE_LOCKING=FALSE"
    return cure_of(path)
