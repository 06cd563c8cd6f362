"""The predictions of many people and their file, predictions.npz."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32, Int, Shaped

from pmnet.body import BodyParams
from pmnet.core.files import replacing
from pmnet.formats.arrays import array, same_length
from pmnet.formats.npz import read_npz

SHAPES: Final[dict[str, tuple[int | None, ...]]] = {
    "box": (None, 4),
    "pose": (None, 72),
    "betas": (None, 10),
    "camera": (None, 3),
    "focal_length": (None,),
    "translation": (None, 3),
    "image_size": (None, 2),
    "joints": (None, 24, 3),
    "prototype": (None,),
    "prototype_probability": (None,),
    "prototype_share": (None,),
    "distance_to_mean_mm": (None,),
    "person": (None,),
}
WHOLE: Final = ("image_size", "prototype", "person")  # whole numbers
KEYS: Final = ("image_name", *SHAPES)


@dataclass(frozen=True)
class Predictions:
    """One row per person in a picture.

    `image_name` is relative to the folder of the pictures; `person` numbers the people of a picture. `box` is
    the square that the network saw (x0, y0, x1, y1 px of the upright picture, `image_size` = width, height).
    `pose` is axis-angle (rad), SMPL's 24 joints, the root in the camera frame (x right, y down, z away).
    `camera` (s, tx, ty) gives crop coordinates s (X + t), -1 to 1 over `box`; with `focal_length` (px),
    x = F X / Z + w / 2 gives pixels of vertices + `translation` (m). `joints` (m) are without translation.
    `prototype` is the selected one, `prototype_probability` what the classifier gives it,
    `prototype_share` the share of the training samples that it has; `distance_to_mean_mm` is the mean
    distance of the vertices from those of the mean body: rare poses are far, and to be trusted less.
    """

    image_name: Shaped[np.ndarray, "n"]
    person: Int[np.ndarray, "n"]
    box: Float32[np.ndarray, "n 4"]
    pose: Float32[np.ndarray, "n 72"]
    betas: Float32[np.ndarray, "n 10"]
    camera: Float32[np.ndarray, "n 3"]
    focal_length: Float32[np.ndarray, "n"]
    translation: Float32[np.ndarray, "n 3"]
    image_size: Int[np.ndarray, "n 2"]
    joints: Float32[np.ndarray, "n 24 3"]
    prototype: Int[np.ndarray, "n"]
    prototype_probability: Float32[np.ndarray, "n"]
    prototype_share: Float32[np.ndarray, "n"]
    distance_to_mean_mm: Float32[np.ndarray, "n"]

    def __len__(self) -> int:
        return len(self.person)

    def rows(self, rows: Sequence[int] | slice) -> "Predictions":
        """Return some rows."""
        return Predictions(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def body_params(self) -> BodyParams:
        """Return pose and shape as rotation matrices and betas."""
        rotvecs = torch.from_numpy(self.pose).view(-1, 24, 3)
        return BodyParams.from_rotvecs(rotvecs, torch.from_numpy(self.betas))

    @staticmethod
    def cat(parts: "Sequence[Predictions]") -> "Predictions":
        """Return the rows of all parts, in order; there may be no part."""
        parts = parts or [_none()]
        return Predictions(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(_none())}
        )

    def save(self, path: Path, body: str) -> None:
        """Write an npz, whole or not at all; `body` is the sha256 of the body model of the betas.

        Beside the fields, the file says `joint_set` (smpl24), `gender` (neutral) and `body`.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        notes = {"joint_set": "smpl24", "gender": "neutral", "body": body}
        with replacing(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **values, **{key: np.array(note) for key, note in notes.items()})  # type: ignore[arg-type]

    @staticmethod
    def load(path: Path) -> "Predictions":
        """Return the predictions in a file; raises InputError where it is missing, damaged or another's."""
        values = read_npz(path, KEYS)
        columns = {key: array(path, values, key, shape) for key, shape in SHAPES.items()}
        names = array(path, values, "image_name", (None,), "U")
        same_length(path, {"image_name": names, **columns})
        kinds = {key: np.int64 if key in WHOLE else np.float32 for key in columns}
        typed = {key: values.astype(kinds[key]) for key, values in columns.items()}
        return Predictions(image_name=names, **typed)


def _none() -> Predictions:
    kinds: dict[str, type] = {k: np.int64 if k in WHOLE else np.float32 for k in SHAPES}
    rows = {key: tuple(n or 0 for n in shape) for key, shape in SHAPES.items()}
    columns: dict[str, np.ndarray] = {key: np.zeros(rows[key], kinds[key]) for key in SHAPES}
    return Predictions(image_name=np.zeros(0, "<U1"), **columns)


def share_percent(share: float) -> str:
    """Return a share in words for a table: 4.2 %, or unknown."""
    return f"{100 * share:.1f} %" if np.isfinite(share) else "unknown"
