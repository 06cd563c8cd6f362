"""C3D: trajectories of motion capture, read by `ezc3d` (the extra `fit`) in a process of its own.

The library is native code, and a damaged file may end its process: then only the child ends.
"""

import io
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import numpy as np

from pmnet.core.errors import InputError
from pmnet.formats.trajectories import Trajectories, in_metres

BLOCK, KEY = 512, 0x50  # bytes; the second byte of every C3D
BIG_ENDIAN: Final = bytes([86])  # the processor whose numbers have their high byte first
TIME_LIMIT_S: Final = 60
CHILD: Final = """
import io, sys, ezc3d, numpy
file = ezc3d.c3d(sys.argv[1])
point = file["parameters"]["POINT"]
labels = [name for key in point if key.startswith("LABELS") for name in point[key]["value"]]
out = io.BytesIO()
numpy.savez(
    out,
    points=file["data"]["points"][:3].transpose(2, 1, 0),
    labels=numpy.array(labels, dtype=str),
    rate=numpy.array(point["RATE"]["value"], dtype=float),
    units=numpy.array([str(unit) for unit in point.get("UNITS", {"value": []})["value"]], dtype=str),
)
sys.stdout.buffer.write(out.getvalue())
"""


def read_c3d(path: Path, unit: str = "") -> Trajectories:
    """Return the trajectories of a .c3d; `unit` overrules the file's.

    Raises InputError where `ezc3d` is not installed, or the file is no whole C3D.
    """
    if find_spec("ezc3d") is None:
        raise InputError(f"{path}: needs ezc3d; install it by: pip install 'pmnet[fit]'")
    frames = _frames_of_header(path)
    values = _read(path)
    points, labels = values["points"], [str(label) for label in values["labels"].tolist()]
    points, labels = points[:, : len(labels)], labels[: points.shape[1]]
    if points.size == 0 or not labels:
        raise InputError(
            f"{path}: holds no labelled point; export the trajectories, not only analogs"
        )
    if len(points) < frames:
        raise InputError(
            f"{path}: has {len(points)} of the {frames} frames that its header names; the file is cut short"
        )
    rate = float(values["rate"].ravel()[0]) if values["rate"].size else 0.0
    if not 0 < rate < 1e5:
        raise InputError(f"{path}: POINT:RATE is {rate:g}; expected the frames per second")
    units = values["units"].ravel().tolist()
    return Trajectories(labels, in_metres(path, points, unit or (units[0] if units else "")), rate)


def _frames_of_header(path: Path) -> int:
    """Return the number of frames that the header names; 0 where it cannot name them."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with path.open("rb") as stream:
        start = stream.read(10)
        stream.seek(max(start[0] - 1, 0) * BLOCK + 3 if start else 0)
        processor = stream.read(1)
    if len(start) < 10 or start[1] != KEY or path.stat().st_size < 2 * BLOCK:
        raise InputError(f"{path}: not a C3D: its second byte is not 0x50, or it is cut short")
    order: Literal["little", "big"] = "big" if processor == BIG_ENDIAN else "little"
    first, last = (int.from_bytes(start[at : at + 2], order) for at in (6, 8))
    # longer files name their frames elsewhere
    return last - first + 1 if first <= last < 2**16 - 1 else 0


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(path.resolve())],
            capture_output=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
        if child.returncode == 0:
            with np.load(io.BytesIO(child.stdout), allow_pickle=False) as archive:
                return dict(archive)
        lines = child.stderr.decode(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"the reader ended with {child.returncode}"
    except subprocess.TimeoutExpired:
        why = f"it took more than {TIME_LIMIT_S} s"
    except (OSError, ValueError, EOFError) as error:
        why = str(error)
    raise InputError(f"{path}: not a readable C3D ({why}); export it anew")
