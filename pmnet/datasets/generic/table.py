"""A csv of people as arrays: the columns that make each array of `pmnet.datasets.generic`."""

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from pmnet.body.keypoints import J24
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special

PARTS_2D: Final = ("x", "y", "confidence")
PARTS_3D: Final = ("x_m", "y_m", "z_m", "confidence_m")
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "image_name": ("image_name",),
    "center": ("center_x", "center_y"),
    "scale": ("scale",),
    "poses": tuple(f"pose_{number}" for number in range(72)),
    "betas": tuple(f"beta_{number}" for number in range(10)),
    "has_smpl": ("has_smpl",),
    "gender": ("gender",),
    "subject": ("subject",),
    "sequence": ("sequence",),
}
HEADER_BYTES: Final = 100_000  # the header lies within them
UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
KEYPOINTS: Final = {"keypoints_2d": PARTS_2D, "keypoints_3d": PARTS_3D}
TEXTS: Final = ("image_name", "gender", "subject", "sequence")
KNOWN: Final = {column for columns in COLUMNS.values() for column in columns} | {
    f"{joint}_{part}" for joint in J24 for parts in KEYPOINTS.values() for part in parts
}


def read_csv(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a csv by the keys of an npz; raises InputError naming column and row."""
    columns = _columns(path)
    arrays: dict[str, np.ndarray] = {}
    for key, names in COLUMNS.items():
        there = [name for name in names if name in columns]
        if there and len(there) < len(names):
            missing = next(name for name in names if name not in columns)
            raise InputError(f"{path}: column {missing!r} is missing; {there[0]!r} is there")
        if there:
            flat = np.stack([columns[name] for name in names], 1)
            arrays[key] = flat[:, 0] if len(names) == 1 else flat
    for key, parts in KEYPOINTS.items():
        if any(f"{joint}_{part}" in columns for joint in J24 for part in parts):
            arrays[key] = np.stack([_joint(path, columns, joint, parts) for joint in J24], 1)
    if missing_keys := [name for key in ("image_name", "center", "scale")
                        for name in COLUMNS[key] if name not in columns]:  # fmt: skip
        raise InputError(
            f"{path}: column {missing_keys[0]!r} is missing; `pmnet template` shows all"
        )
    return arrays


def _joint(
    path: Path, columns: Mapping[str, np.ndarray], joint: str, parts: tuple[str, ...]
) -> np.ndarray:
    n = len(columns["image_name"]) if "image_name" in columns else len(next(iter(columns.values())))
    names = [f"{joint}_{part}" for part in parts]
    there = [name for name in names[:-1] if name in columns]
    if not there:
        return np.zeros((n, len(parts)))
    if len(there) < len(parts) - 1:
        missing = next(name for name in names[:-1] if name not in columns)
        raise InputError(f"{path}: column {missing!r} is missing; {there[0]!r} is there")
    place = np.stack([columns[name] for name in names[:-1]], 1)
    known = ~np.isnan(place).any(1)
    confidence = np.nan_to_num(columns.get(names[-1], np.ones(n)))
    return np.concatenate([place, np.where(known, confidence, 0)[:, None]], 1)


def _columns(path: Path) -> dict[str, np.ndarray]:
    """Return all columns, numbers as float64 with NaN for an empty cell."""
    refuse_special(path)
    try:
        content = path.read_bytes()
        if content.startswith(UTF16):
            raise InputError(
                f"{path}: is in UTF-16; save it anew as CSV UTF-8, separated by commas"
            )
        header = next(csv.reader(io.StringIO(content.split(b"\n", 1)[0].decode("utf-8-sig"))))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (UnicodeDecodeError, StopIteration, csv.Error) as error:
        raise InputError(f"{path}: not a csv with a header ({error!r})") from None
    if fault := _spreadsheet(content, header):
        raise InputError(f"{path}: {fault}; save it anew as CSV UTF-8, separated by commas")
    for name in header:
        if name not in KNOWN or header.count(name) > 1:
            fault = "appears twice" if name in KNOWN else "is not known"
            raise InputError(
                f"{path}: column {name!r} {fault}; rename or drop it. `pmnet template` shows all names"
            )
    kinds = {name: pa.string() if name in TEXTS else pa.float64() for name in header}
    try:
        table = arrow_csv.read_csv(
            pa.py_buffer(content), convert_options=arrow_csv.ConvertOptions(column_types=kinds)
        )
    except pa.ArrowInvalid as error:
        raise InputError(_fault(path, content) or f"{path}: not a readable csv ({error})") from None
    return {
        name: table[name].to_numpy() if name not in TEXTS else _texts(table[name].to_pylist())
        for name in header
    }


def _spreadsheet(content: bytes, header: list[str]) -> str:
    """Return what a spreadsheet did to the file; "" where it did nothing."""
    if header[:1] and header[0].lower().startswith("sep="):
        return f"its first line is {header[0]!r}, which only spreadsheets understand"
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        return "the header is not separated by commas"
    if blank := [name for name in header if name != name.strip()]:
        return f"column {blank[0]!r} has blanks around its name"
    return ""


def _texts(values: list[str]) -> np.ndarray:
    return np.array(values, dtype=str)


def _fault(path: Path, content: bytes) -> str:
    """Return what is wrong with the first cell that is not a number, or row of another length."""
    try:
        lines = _lines(content)
        header = next(lines)
        for row, cells in enumerate(lines):
            if len(cells) != len(header):
                return (
                    f"{path}: row {row} has {len(cells)} cells; the header has {len(header)}; the "
                    "file is cut short or has stray commas"
                )
            for name, cell in zip(header, cells, strict=True):
                if name not in TEXTS and not _is_number(cell):
                    return f"{path}: column {name!r} row {row} is {cell!r}; expected a number"
    except (UnicodeDecodeError, csv.Error) as error:
        return f"{path}: not a readable csv ({error})"
    return ""


def _lines(content: bytes) -> Iterator[list[str]]:
    return (cells for cells in csv.reader(io.StringIO(content.decode("utf-8-sig"))) if cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def csv_header(path: Path) -> set[str]:
    """Return the column names of a csv; empty where the file is not a csv.

    They are read also where a spreadsheet wrote the file in a way that `read_csv` refuses.
    """
    try:
        refuse_special(path)
        with path.open("rb") as stream:
            start = stream.read(HEADER_BYTES)
        kind = "utf-16" if start.startswith(UTF16) else "utf-8-sig"
        lines = start[: len(start) // 2 * 2].decode(kind, "replace").splitlines()
        if lines and lines[0].lower().startswith("sep="):
            lines = lines[1:]
        mark = max(",;\t", key=(lines or [""])[0].count)
        return {name.strip() for name in next(csv.reader(lines[:1], delimiter=mark), [])}
    except (OSError, ValueError, csv.Error):
        return set()


def csv_texts(path: Path, column: str, rows: int) -> list[str]:
    """Return the first `rows` cells of a column; empty where it cannot be read."""
    try:
        refuse_special(path)
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [line[column] or "" for line in islice(csv.DictReader(stream), rows)]
    except (OSError, ValueError, csv.Error, KeyError):
        return []


def write_csv(stream: Any, values: Mapping[str, np.ndarray]) -> None:
    """Write arrays by the keys of an npz as a csv with a header."""
    columns: dict[str, np.ndarray] = {}
    for key, names in COLUMNS.items():
        if key in values:
            flat = values[key].reshape(len(values[key]), len(names))
            columns |= {name: flat[:, index] for index, name in enumerate(names)}
    for key, parts in KEYPOINTS.items():
        for joint, of_joint in enumerate(np.moveaxis(values[key], 1, 0) if key in values else ()):
            columns |= {f"{J24[joint]}_{part}": of_joint[:, i] for i, part in enumerate(parts)}
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
