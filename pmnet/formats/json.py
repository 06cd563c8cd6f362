"""Lists of records in JSON files (COCO, EFT) as arrays; errors name the file, the key and the record."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.core.files import largest_content, refuse_special, value_bytes
from pmnet.formats.kinds import cure_of

MAX_EXACT: Final = 2**53  # beyond it a float is not one whole number
# bytes of memory per mark, at most: a list, a dict, a number in one of them, half a text
COSTS: Final = {b"[": 88, b"{": 232, b",": 32, b'"': 30}


def read_records(path: Path, key: str) -> list[dict[str, Any]]:
    """Return the list of records at `key` of a JSON file; raises InputError where it is not one."""
    return records(path, read_json(path), key)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; raises InputError where it cannot be read."""
    refuse_special(path)
    try:
        content = path.read_bytes()
        if (size := value_bytes(content, COSTS)) > largest_content(path):
            raise ValueError(f"it stands for {size:,} bytes, far more than it has")
        return json.loads(content)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable JSON ({error}); {cure_of(path)}") from None


def records(path: Path, content: Any, key: str) -> list[dict[str, Any]]:
    """Return the list of records at `key` of a file's content; raises InputError where it is not one."""
    listed = content.get(key) if isinstance(content, dict) else None
    if not isinstance(listed, list) or not all(isinstance(record, dict) for record in listed):
        keys = ", ".join(map(str, content)) if isinstance(content, dict) else "no keys"
        raise InputError(f"{path}: {key!r} is not a list of records; found {keys or 'no keys'}")
    return listed


def numbers(
    path: Path, listed: Sequence[dict[str, Any]], key: str, shape: tuple[int, ...]
) -> np.ndarray:
    """Return the finite numbers at `key` of all records, (N, *shape); raises InputError otherwise."""
    try:
        values = np.array([record[key] for record in listed], np.float64)
        if values[:1].size == math.prod(shape) and np.isfinite(values).all():
            return values.reshape(-1, *shape)
    except (KeyError, TypeError, ValueError):
        pass
    for row, record in enumerate(listed):
        if reason := _fault(record, key, shape):
            raise InputError(
                f"{path}: {key!r} of record {row} {reason}; expected "
                f"{' x '.join(map(str, shape)) or 'one'} finite numbers"
            )
    # all records are valid, but they nest their numbers in different ways
    flat = [np.array(record[key], np.float64).reshape(-1) for record in listed]
    return np.array(flat).reshape(-1, *shape)


def keys(path: Path, listed: Sequence[dict[str, Any]], key: str) -> list[str]:
    """Return the ids at `key` of all records as texts, exactly: never through floats.

    An id is a whole number of any size or a text; 7, 7.0 and "7" are one id. Raises InputError otherwise.
    """
    return [_id(path, row, record, key) for row, record in enumerate(listed)]


def by_id(
    path: Path, listed: Sequence[dict[str, Any]], key: str, where: str
) -> dict[str, dict[str, Any]]:
    """Return records by their ids; raises InputError where different records of `where` share one."""
    found: dict[str, dict[str, Any]] = {}
    for row, (name, record) in enumerate(zip(keys(path, listed, key), listed, strict=True)):
        if found.setdefault(name, record) != record:
            raise InputError(
                f"{path}: {key!r} {name} of record {row} of {where!r} is the id of another record too; ids "
                "must be unique: number the records anew, or copy the file anew"
            )
    return found


def texts(path: Path, listed: Sequence[dict[str, Any]], key: str) -> list[str]:
    """Return the texts at `key` of all records; raises InputError where a record has no text there."""
    values = [record.get(key) for record in listed]
    for row, value in enumerate(values):
        if not isinstance(value, str) or not value:
            raise InputError(f"{path}: {key!r} of record {row} is {value!r}; expected a text")
    return [str(value) for value in values]


def _id(path: Path, row: int, record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise InputError(
            f"{path}: {key!r} of record {row} is {value!r}; expected an id: a whole number or a text "
            "(numbers above 2^53 not as 1e18)"
        )
    return str(value)


def _fault(record: dict[str, Any], key: str, shape: tuple[int, ...]) -> str:
    if key not in record:
        return f"is missing (it has {', '.join(record)})"
    try:
        value = np.array(record[key], np.float64)
    except (TypeError, ValueError):
        return "is not numbers, or ragged"
    if value.size != math.prod(shape):
        return f"has shape {value.shape}"
    return "" if np.isfinite(value).all() else "is NaN or infinite"
