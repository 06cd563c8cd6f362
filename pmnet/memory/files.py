"""The file of a prototype memory, read and checked without torch, which takes seconds to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from pmnet.core.errors import InputError
from pmnet.core.header import read_header
from pmnet.core.ranges import Amount
from pmnet.formats.npz import read_npz

VERSION: Final = 1
CURE: Final = "run the cluster stage"
ARRAYS: Final = {
    "rotvecs": ("f", (None, 24, 3)),
    "betas": ("f", (None, 10)),
    "assignments": ("i", (None,)),
    "distances": ("f", (None,)),
    "camera": ("f", (3,)),
    "vertex_weights": ("f", (None,)),
}
KEYS: Final = ("header", *ARRAYS)


@dataclass(frozen=True)
class Iteration:
    """One row of the history, after an assignment: how many bodies changed, how many clusters are empty."""

    iteration: Amount
    mean_distance: float
    changed: Amount
    empty: Amount


@dataclass(frozen=True)
class MemoryHeader:
    """The header of a file of prototypes."""

    version: Literal[1]
    body: str
    history: list[Iteration]
    settings: dict[str, Any]


def read_memory(path: Path) -> tuple[MemoryHeader, dict[str, np.ndarray]]:
    """Return the header and the ARRAYS of a memory, float32 and int64.

    Raises InputError if the file is missing, damaged or no memory.
    """
    if not path.exists():
        raise InputError(f"{path}: no such prototype memory; run the cluster stage")
    try:
        values = read_npz(path, KEYS)
        header: MemoryHeader = read_header(
            MemoryHeader, str(values["header"]), path, "not a prototype memory", CURE
        )
        return header, _checked(values)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(f"{path}: not a prototype memory ({reason}); {CURE}") from None


def _checked(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays as float32 and int64; ValueError for a wrong shape, kind or value."""
    arrays: dict[str, np.ndarray] = {}
    for key, (kind, shape) in ARRAYS.items():
        if key == "vertex_weights" and key not in values:
            continue
        array = values[key]
        fits = len(shape) == array.ndim and all(
            n in (None, m) for n, m in zip(shape, array.shape, strict=False)
        )
        if array.dtype.kind != kind or not fits or not np.isfinite(array).all():
            raise ValueError(
                f"{key} is {array.dtype} {array.shape}; expected finite {kind} {shape}"
            )
        with np.errstate(over="ignore"):
            arrays[key] = array.astype(np.float32 if kind == "f" else np.int64, copy=False)
        if not np.isfinite(arrays[key]).all():
            raise ValueError(f"{key} has numbers beyond float32")
    for one, other in (("rotvecs", "betas"), ("assignments", "distances")):
        if len(values[one]) != len(values[other]):
            raise ValueError(
                f"{one} has {len(values[one])} rows, {other} {len(values[other])}; expected as many"
            )
    k, assigned = len(values["betas"]), values["assignments"]
    if not k:
        raise ValueError("it has no prototypes")
    if assigned.size and not 0 <= assigned.min() <= assigned.max() < k:
        raise ValueError(
            f"assignments name {assigned.min()} to {assigned.max()}; expected 0 to {k - 1}"
        )
    if not arrays["camera"][0]:
        raise ValueError("camera has the scale 0")
    return arrays
