"""SAM 3D Body: dicts of one person each, or their npz; vertices (m) of MHR, mapped to SMPL's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.evaluation.predictions.mapping import MeshMapping
from pmnet.evaluation.predictions.record import Predictions, texts_at

NAME: Final = "sam3d"
MHR_VERTICES: Final = 18439
NAMES: Final = ("image_name", "imgname", "img_path", "image_path")
BOXES: Final = ("box", "bbox", "bboxes")


def recognises(content: Any) -> bool:
    """Return whether it is a person with MHR's vertices or parameters, or a list of people."""
    people = content if isinstance(content, list) else [content]
    return len(people) > 0 and all(_is_person(person) for person in people)


def _is_person(person: Any) -> bool:
    if not isinstance(person, Mapping) or "pred_vertices" not in person:
        return False
    count = np.shape(person["pred_vertices"])[-2:-1]
    return "mhr_model_params" in person or count == (MHR_VERTICES,)


def read(source: Path, content: Any, mapping: MeshMapping | None) -> Predictions:
    """Return the predictions as SMPL's vertices; raises InputError without a mapping.

    A dict without a name is of the image whose name its file has.
    """
    if mapping is None:
        raise InputError(
            f"{source}: has vertices of MHR; expected how they map to SMPL's: give "
            "`--mapping mhr2smpl_mapping.npz` (in the repository MHR) and `--triangles FILE`, the triangles "
            "of MHR's mesh of 18,439 vertices (in its assets)"
        )
    people = content if isinstance(content, list) else [content]
    parts = [_person(source, i, one, mapping) for i, one in enumerate(track(people, "mapping"))]
    return Predictions.cat(source, parts)


def _person(source: Path, at: int, person: Mapping[str, Any], mapping: MeshMapping) -> Predictions:
    vertices = np.asarray(person["pred_vertices"], np.float32)
    vertices = vertices[None] if vertices.ndim == 2 else vertices
    names = texts_at(person, *NAMES)
    box = next((person[key] for key in BOXES if person.get(key) is not None), None)
    if box is not None and np.size(box) != 4 * len(vertices):
        raise InputError(f"{source}: the box of entry {at} is {np.shape(box)}; expected 4 numbers")
    return Predictions(
        source,
        NAME,
        vertices=mapping.to_smpl(vertices),
        image_name=[source.stem] * len(vertices)
        if names is None and at == 0 and not _listed(person)
        else names,
        box=None if box is None else np.asarray(box, float).reshape(len(vertices), 4),
    )


def _listed(person: Mapping[str, Any]) -> bool:
    """Return whether a dict holds several people: then they are not those of one image."""
    return np.ndim(person["pred_vertices"]) == 3 and len(person["pred_vertices"]) > 1
