"""Checks of the arrays in users' files: each error names the file, the key and the row."""

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
    """Return `values[key]` as float64 numbers (`kind` "f") or texts ("U").

    `shape` is the expected shape, None standing for any length. Raises InputError where the key is
    missing or the array has another shape or kind.
    """
    if key not in values:
        raise InputError(
            f"{path}: key {key!r} is missing; found {', '.join(sorted(map(str, values))) or 'no key'}"
        )
    given = _decoded(path, key, np.asarray(values[key]))
    fits = given.ndim == len(shape) and all(
        n in (None, m) for n, m in zip(shape, given.shape, strict=False)
    )
    if not fits or given.dtype.kind not in ("fiub" if kind == "f" else "U"):
        expected = " x ".join("any" if n is None else str(n) for n in shape)
        raise InputError(
            f"{path}: {key!r} is {given.dtype} of shape {given.shape}; expected {KINDS[kind]}, {expected}"
        )
    return given.astype(np.float64) if kind == "f" else given


def _decoded(path: Path, key: str, given: np.ndarray) -> np.ndarray:
    """Return bytes as texts."""
    if given.dtype.kind != "S":
        return given
    try:
        return np.char.decode(given, "utf-8")
    except UnicodeDecodeError:
        for row, text in enumerate(given.ravel().tolist()):
            if not _is_utf8(text):
                raise InputError(
                    f"{path}: {key!r} row {row} is {text!r:.100}, which is not UTF-8; save the file with "
                    "texts instead of bytes"
                ) from None
        raise


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def same_length(path: Path, arrays: Mapping[str, Sequence[Any] | np.ndarray]) -> int:
    """Return the number of rows, which must be the same in all arrays; raises InputError otherwise."""
    lengths = {key: len(values) for key, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        each = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise InputError(f"{path}: rows differ in number: {each}; the file is damaged or mixed up")
    return next(iter(lengths.values()), 0)


def finite(path: Path, key: str, values: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return `values`; raises InputError where one of `rows` (None: all) is NaN or infinite."""
    bad = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    bad &= True if rows is None else rows
    if bad.any():
        raise InputError(
            f"{path}: {key!r} row {int(bad.argmax())} is NaN or infinite, as are {int(bad.sum())} of "
            f"{len(values)} rows in all; mend or drop these rows"
        )
    return values
