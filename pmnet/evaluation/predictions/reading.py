"""Reads predictions of any known layout: one file, or a folder with one file per image or sequence."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.body.camera import BOX_PX
from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.evaluation.predictions.content import SUFFIXES, read_content
from pmnet.evaluation.predictions.layouts import (
    challenge,
    demos,
    hmr2,
    mmhuman3d,
    own,
    sam3d,
    spin,
)
from pmnet.evaluation.predictions.mapping import MeshMapping, read_mapping
from pmnet.evaluation.predictions.record import Predictions, checked, texts_at

LAYOUTS: Final = (spin, challenge, mmhuman3d, demos, sam3d, hmr2, own)  # the most particular first
SHOWN: Final = 12  # keys in an error
NAME_KEYS: Final = ("image_name", "imgname", "image_path")


@dataclass(frozen=True)
class Beside:
    """Files beside the predictions: names of the rows, and how another mesh maps to SMPL's."""

    names: Path | None = None
    mapping: Path | None = None
    triangles: Path | None = None


def read_predictions(source: Path, beside: Beside = Beside()) -> Predictions:
    """Return the checked predictions of a file, or of all files in a folder.

    Raises InputError, naming file, key and row, where the layout is not known or the content cannot be
    scored.
    """
    mapping = None if beside.mapping is None else read_mapping(beside.mapping, beside.triangles)
    files = _files(source)
    parts = [_read(file, mapping) for file in (track(files, "reading") if files[1:] else files)]
    if kinds := {part.layout for part in parts[1:]} - {parts[0].layout}:
        raise InputError(
            f"{source}: holds files of several layouts ({parts[0].layout}, {', '.join(kinds)}); give one "
            "model's predictions"
        )
    whole = Predictions.cat(source, parts)
    return checked(whole if beside.names is None else _named(whole, beside.names))


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    files = sorted(path for path in source.iterdir() if path.suffix in SUFFIXES)
    if not files:
        raise InputError(f"{source}: no file of predictions in it ({', '.join(SUFFIXES)})")
    return files


def _read(file: Path, mapping: MeshMapping | None) -> Predictions:
    content = read_content(file)
    for layout in LAYOUTS:
        if layout.recognises(content):
            found = (
                sam3d.read(file, content, mapping)
                if layout is sam3d
                else layout.read(file, content)  # type: ignore[attr-defined]
            )
            return _mapped(found, mapping)
    raise InputError(
        f"{file}: no known layout of predictions: {_held(content)}; docs/score.md shows the layouts: the "
        "simplest is an npz with `image_name` and `pose` with `betas`, or `vertices`"
    )


def _mapped(found: Predictions, mapping: MeshMapping | None) -> Predictions:
    """Return predictions whose vertices are SMPL's: of SMPL-X by the mapping."""
    vertices = found.vertices
    if mapping is None or vertices is None or vertices.shape[-2] != mapping.matrix.shape[1]:
        return found
    return replace(
        found, vertices=mapping.to_smpl(np.asarray(vertices, np.float32)), pose=None, betas=None
    )


def _held(content: Any) -> str:
    if isinstance(content, Mapping):
        keys = [str(key) for key in content]
        return f"it has the keys {', '.join(keys[:SHOWN]) or 'of none'}" + ", ..." * (
            len(keys) > SHOWN
        )
    if isinstance(content, list):
        return f"it is a list of {len(content)}" + (
            f", the first: {_held(content[0])}" if content else ""
        )
    return f"it is a {type(content).__name__}"


def _named(predictions: Predictions, file: Path) -> Predictions:
    """Return predictions with the names in a file that has their order: SPIN's npz, or a name per line.

    Where SPIN's npz has `center` and `scale`, they tell the people of an image apart.
    """
    values: Mapping[str, Any]
    if file.suffix in (".txt", ".csv"):
        try:
            lines = file.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, ValueError) as error:
            raise InputError(f"{file}: cannot be read as names ({error}); check --names") from None
        values = {"image_name": [line.strip() for line in lines if line.strip()]}
    else:
        content = read_content(file)
        values = content if isinstance(content, Mapping) else {}
    names = texts_at(values, *NAME_KEYS)
    if names is None:
        raise InputError(
            f"{file}: has no {' or '.join(NAME_KEYS)}; expected the npz that was evaluated, or a text file "
            "with one name per line"
        )
    if predictions.frame is not None:
        return _of_frames(predictions, names, file)
    if len(names) != len(predictions):
        raise InputError(
            f"{file}: has {len(names)} names, {predictions.source} has {len(predictions)} rows; give the "
            "file that was evaluated"
        )
    box = predictions.box
    if box is None and "center" in values and "scale" in values:
        box = _boxes(values, len(names), file)
    return replace(predictions, image_name=names, box=box)


def _boxes(values: Mapping[str, Any], people: int, file: Path) -> np.ndarray:
    """Return the boxes (x0, y0, x1, y1 px) of SPIN's `center` and `scale`."""
    try:
        centre = np.asarray(values["center"], float).reshape(people, 2)
        half = BOX_PX / 2 * np.asarray(values["scale"], float).reshape(people, -1)[:, :1]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{file}: 'center' or 'scale' does not fit its {people} names ({error}); expected {people} x 2 "
            f"and {people} numbers, or neither"
        ) from None
    return np.concatenate([centre - half, centre + half], 1)


def _of_frames(predictions: Predictions, names: list[str], file: Path) -> Predictions:
    frames = predictions.frame
    assert frames is not None
    wrong = (frames < 0) | (frames >= len(names))
    if wrong.any():
        raise InputError(
            f"{predictions.source}: row {int(wrong.argmax())} is of frame {int(frames[wrong.argmax()])}, but "
            f"{file} has {len(names)} names; give the names of all frames, in order"
        )
    return replace(predictions, image_name=[names[frame] for frame in frames], frame=None)
