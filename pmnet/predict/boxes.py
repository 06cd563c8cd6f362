"""Who is seen where: boxes of people in pictures, from files in csv, json and npz.

A box is (x0, y0, x1, y1) in px of the upright picture (turned as its EXIF header says). What the network sees
is the square around its centre, `margin` times as wide as its longer side.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from pmnet.body.camera import BOX_PX
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special
from pmnet.formats.arrays import array, finite, same_length
from pmnet.formats.json import keys, numbers, read_json, records, texts
from pmnet.formats.npz import read_npz

CORNERS: Final = ("x0", "y0", "x1", "y1")
CENTRED: Final = ("center_x", "center_y", "scale")
NPZ_KEYS: Final = ("image_name", "box", "center", "scale", "person")
EXPECTED: Final = (
    "expected image_name with x0, y0, x1, y1 (px; npz: box), or with center_x, center_y, scale (width / "
    "200 px; npz: center, scale), and person if you like"
)
PERSON: Final = 1  # the category of people in COCO


@dataclass(frozen=True)
class PeopleInPicture:
    """The people in one picture: their numbers, and the squares (x0, y0, x1, y1 px) that the network sees."""

    numbers: tuple[int, ...]
    squares: Float[np.ndarray, "p 4"]


def square_around(box: Float[np.ndarray, "p 4"], margin: float) -> Float[np.ndarray, "p 4"]:
    """Return the squares around boxes (x0, y0, x1, y1), `margin` times as wide as their longer sides."""
    middle = (box[:, :2] + box[:, 2:]) / 2
    half = (box[:, 2:] - box[:, :2]).max(1, keepdims=True) * margin / 2
    return np.concatenate([middle - half, middle + half], 1)


@lru_cache(maxsize=64)  # most pictures of a folder have one size
def whole_picture(size: tuple[int, int]) -> PeopleInPicture:
    """Return one person who fills a picture of (width, height) px: its longer side is the square's."""
    width, height = size
    return PeopleInPicture((0,), square_around(np.array([[0.0, 0.0, width, height]]), 1.0))


def read_boxes(path: Path, margin: float) -> dict[str, PeopleInPicture]:
    """Return the people of each picture in a file of boxes: .csv, .json or .npz.

    A csv has the columns image_name and x0, y0, x1, y1, or center_x, center_y, scale (the square's width
    / 200 px, as in SPIN: no margin is added); an npz has image_name (N) and box (N, 4), or center (N, 2) and
    scale (N). `person` (N) numbers the people of a picture; by default they are numbered by their order.
    A json is {image_name: [[x0, y0, x1, y1], ...]}, a list of {"image_name": ..., "box": [...]}, or COCO's
    annotations. Raises InputError that names the file, the key and the row.
    """
    if not path.is_file():
        raise InputError(f"--boxes {path}: no such file; give whole, a file, or torchvision:NAME")
    readers = {".csv": _from_csv, ".json": _from_json, ".npz": _from_npz}
    if path.suffix.lower() not in readers:
        raise InputError(f"--boxes {path}: expected a file that ends in .csv, .json or .npz")
    names, values = readers[path.suffix.lower()](path)
    if "" in names:
        row = names.index("")
        raise InputError(f"{path}: 'image_name' row {row} is empty; expected the name of a picture")
    if (person := values.get("person")) is not None:
        odd = finite(path, "person", person) % 1 != 0
        if odd.any():
            row = int(odd.argmax())
            raise InputError(
                f"{path}: 'person' row {row} is {person[row]:g}; expected a whole number"
            )
    return grouped(path, names, _squares(path, values, margin), person)


def grouped(
    path: Path, names: list[str], squares: Float[np.ndarray, "n 4"], person: np.ndarray | None
) -> dict[str, PeopleInPicture]:
    """Return people by picture; raises InputError where two people of a picture have one number."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    people = {}
    for name, own in rows.items():
        count = range(len(own))
        numbers = tuple(count if person is None else (int(n) for n in person[own]))
        if len(set(numbers)) < len(numbers):
            raise InputError(f"{path}: two people in {name} have one number; number them apart")
        people[name] = PeopleInPicture(numbers, squares[own])
    return people


def _squares(
    path: Path, values: Mapping[str, np.ndarray], margin: float
) -> Float[np.ndarray, "n 4"]:
    if "box" in values:
        box = finite(path, "box", values["box"])
        if (flat := (box[:, 2:] <= box[:, :2]).any(1)).any():
            row = int(flat.argmax())
            raise InputError(
                f"{path}: 'box' row {row} is {box[row].tolist()}; expected x0 < x1 and y0 < y1 (corners, not "
                "widths), in px"
            )
        return square_around(box, margin)
    center = finite(path, "center", values["center"])
    scale = finite(path, "scale", values["scale"])
    if (empty := scale <= 0).any():
        raise InputError(f"{path}: 'scale' row {int(empty.argmax())} is not above 0")
    half = scale[:, None] * BOX_PX / 2
    return np.concatenate([center - half, center + half], 1)


Table = tuple[list[str], dict[str, np.ndarray]]


def _from_npz(path: Path) -> Table:
    values = read_npz(path, NPZ_KEYS)
    names = array(path, values, "image_name", (None,), "U").tolist()
    if "box" not in values and not {"center", "scale"} <= set(values):
        raise InputError(f"{path}: has neither 'box' nor 'center' and 'scale'; {EXPECTED}")
    shapes: dict[str, tuple[int | None, ...]] = {
        "box": (None, 4), "center": (None, 2), "scale": (None,), "person": (None,)
    }  # fmt: skip
    chosen = {key: array(path, values, key, shapes[key]) for key in shapes if key in values}
    same_length(path, {"image_name": names, **chosen})
    return names, chosen


def _from_csv(path: Path) -> Table:
    refuse_special(path)
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable csv ({error}); save it as CSV UTF-8") from None
    found = set(rows[0]) if rows else set()
    columns = next((c for c in (CORNERS, CENTRED) if {"image_name", *c} <= found), None)
    if columns is None:
        known = ", ".join(sorted(map(str, found))) or "no row"
        raise InputError(f"{path}: {EXPECTED}; found {known}")
    wanted = [*columns, *(["person"] if "person" in found else [])]
    cells = np.array([[_number(path, n, row, c) for c in wanted] for n, row in enumerate(rows)])
    box, center = {"box": cells[:, :4]}, {"center": cells[:, :2], "scale": cells[:, 2]}
    values = dict(box if columns == CORNERS else center)
    if "person" in found:
        values["person"] = cells[:, len(columns)]
    return [row["image_name"] or "" for row in rows], values


def _number(path: Path, row: int, cells: Mapping[str, Any], column: str) -> float:
    try:
        return float(cells[column])
    except (TypeError, ValueError):
        raise InputError(
            f"{path}: column {column!r} row {row} is {cells[column]!r:.50}; expected a number"
        ) from None


def _from_json(path: Path) -> Table:
    content = read_json(path)
    if isinstance(content, dict) and "annotations" in content:
        return _from_coco(path, content)
    if isinstance(content, dict):
        content = [
            {"image_name": name, "box": box}
            for name, boxes in content.items()
            for box in (boxes if isinstance(boxes, list) else [boxes])
        ]
    listed = records(path, {"people": content}, "people")
    names, values = texts(path, listed, "image_name"), {"box": numbers(path, listed, "box", (4,))}
    if any("person" in record for record in listed):
        values["person"] = numbers(path, listed, "person", ())
    return names, values


def _from_coco(path: Path, content: Any) -> Table:
    """Return the boxes of people in COCO's layout: bbox is x, y, width, height."""
    images = records(path, content, "images")
    files = dict(zip(keys(path, images, "id"), texts(path, images, "file_name"), strict=True))
    people = [
        record
        for record in records(path, content, "annotations")
        if record.get("category_id", PERSON) == PERSON
    ]
    box = numbers(path, people, "bbox", (4,))
    box[:, 2:] += box[:, :2]
    owners = keys(path, people, "image_id")
    if lost := [owner for owner in owners if owner not in files]:
        raise InputError(f"{path}: 'image_id' {lost[0]} is none of its images")
    return [files[owner] for owner in owners], {"box": box}
