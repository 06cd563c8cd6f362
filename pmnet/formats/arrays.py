"""Arrays of the files that users have, checked as they are read: each error names file, key and row."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError

KINDS: Final = {"f": "numbers", "U": "texts"}


def array(
    path: Path,
    values: Mapping[str, Any],
    key: str,
    shape: Sequence[int | None],
    kind: str = "f",
) -> np.ndarray:
    """Return `values[key]` as float64 numbers ("f") or texts ("U") of a shape; None is any length.

    Raises InputError where the key is missing or the array is of another shape or kind.
    """
    if key not in values:
        raise InputError(
            f"{path}: key {key!r} is missing; found {', '.join(sorted(map(str, values))) or 'no key'}"
        )
    found = np.asarray(values[key])
    if found.dtype.kind == "S":
        found = np.char.decode(found, "utf-8")
    fits = found.ndim == len(shape) and all(
        n in (None, m) for n, m in zip(shape, found.shape, strict=False)
    )
    if not fits or found.dtype.kind not in ("fiub" if kind == "f" else "U"):
        expected = " x ".join("any" if n is None else str(n) for n in shape)
        raise InputError(
            f"{path}: {key!r} is {found.dtype} of shape {found.shape}; expected {KINDS[kind]}, {expected}"
        )
    return found.astype(np.float64) if kind == "f" else found


def same_length(path: Path, arrays: Mapping[str, Sequence[Any] | np.ndarray]) -> int:
    """Return the number of rows that all arrays have; raises InputError where one differs."""
    lengths = {key: len(values) for key, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise InputError(f"{path}: rows differ in number: {said}; the file is damaged or mixed up")
    return next(iter(lengths.values()), 0)


def finite(path: Path, key: str, values: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return `values`; raises InputError naming the first of `rows` (None: all) with a NaN in it."""
    bad = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    bad &= True if rows is None else rows
    if bad.any():
        raise InputError(
            f"{path}: {key!r} row {int(bad.argmax())} is NaN or infinite, as are {int(bad.sum())} of "
            f"{len(values)} rows; mend or drop these rows"
        )
    return values
