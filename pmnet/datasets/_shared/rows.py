"""The columns that an adapter reads, and the samples that they become."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch

from pmnet.body import BodyModel
from pmnet.body.keypoints import J24
from pmnet.core.errors import InputError
from pmnet.data.samples import About, Samples
from pmnet.datasets._shared.units import check_confidence, without_box
from pmnet.formats.arrays import finite, same_length

NO_BOX: Final = "dropped: no box (a scale of 0 or less)"
Texts = Sequence[str] | np.ndarray


@dataclass
class Rows:
    """N rows of a data set of images; a column is None where the files do not have it.

    `center` (px) and `scale` (width / 200 px) are the person's box; `poses` are 24 rotation vectors
    (rad), the root in the camera frame; `keypoints_2d` (px) and `keypoints_3d` (m, camera frame, any
    origin) are J24 with confidence. Where `has_smpl` or `has_keypoints_3d` is None, all rows of the
    columns that it describes are valid.
    """

    image_name: Texts
    center: np.ndarray  # (N, 2)
    scale: np.ndarray  # (N,)
    poses: np.ndarray | None = None  # (N, 72)
    betas: np.ndarray | None = None  # (N, 10)
    has_smpl: np.ndarray | None = None  # (N,)
    keypoints_2d: np.ndarray | None = None  # (N, 24, 3)
    keypoints_3d: np.ndarray | None = None  # (N, 24, 4)
    has_keypoints_3d: np.ndarray | None = None  # (N,)
    subject: Texts | None = None
    gender: Texts | None = None
    sequence: Texts | None = None

    def __len__(self) -> int:
        return len(self.image_name)

    def select(self, rows: np.ndarray) -> "Rows":
        """Return the rows of an index or mask, in its order."""
        picked: dict[str, Any] = {
            name: None if values is None else np.asarray(values)[rows]
            for name, values in vars(self).items()
        }
        return Rows(**picked)


def to_samples(
    name: str,
    rows: Rows,
    file: Path,
    root: Path,
    body: BodyModel,
    measured: Literal["j14", "j17"] = "j14",
    counts: dict[str, int] | None = None,
    turned: str = "",
) -> Samples:
    """Return rows as samples of the data set `name`, whose images lie below `root`.

    `file` is named in errors as the source of the rows; `counts` are the rows kept and dropped, by rule;
    `turned` is the pattern of image names whose pixels are stored turned (see `About`). Rows with a box
    without size are dropped and counted, here and not before: fits may belong to rows by position.
    Raises InputError where columns differ in length, or a number marked as valid is not finite.
    """
    n = same_length(file, {k: v for k, v in vars(rows).items() if v is not None})
    counts = {"rows": n, **(counts or {})}
    empty = without_box(rows.scale)
    if empty.any():
        rows, n = rows.select(~empty), n - int(empty.sum())
        counts[NO_BOX] = int(empty.sum())
    has_smpl = _flags(rows.has_smpl, rows.poses, n)
    has_3d = _flags(rows.has_keypoints_3d, rows.keypoints_3d, n)
    poses = _valid(file, "poses", rows.poses, has_smpl, (72,))
    about = About(
        dataset=name,
        joints="j24",
        pixels="files",
        body=body.sha256,
        measured=measured,
        root=str(root),
        counts=counts,
        turned=turned,
    )
    return Samples(
        about=about,
        global_orient=poses[:, :3],
        body_pose=poses[:, 3:],
        betas=_valid(file, "betas", rows.betas, has_smpl, (10,)),
        keypoints_2d=_confident(file, "keypoints_2d", rows.keypoints_2d, np.ones(n, bool), 3),
        keypoints_3d=_confident(file, "keypoints_3d", _rooted(rows.keypoints_3d), has_3d, 4),
        camera=torch.full((n, 3), torch.nan),
        center=_valid(file, "center", rows.center, np.ones(n, bool), (2,)),
        scale=_valid(file, "scale", rows.scale, np.ones(n, bool), ()),
        has_smpl=torch.from_numpy(has_smpl),
        has_keypoints_3d=torch.from_numpy(has_3d),
        image_name=_texts(rows.image_name, n),
        subject=_texts(rows.subject, n),
        gender=_texts(rows.gender, n),
        # where clips are not known, each image is a sequence of its own
        sequence=_texts(rows.image_name if rows.sequence is None else rows.sequence, n),
    )


def _flags(given: np.ndarray | None, values: np.ndarray | None, n: int) -> np.ndarray:
    if values is None:
        return np.zeros(n, bool)
    return np.ones(n, bool) if given is None else np.asarray(given > 0)


def _valid(
    file: Path, key: str, values: np.ndarray | None, valid: np.ndarray, shape: tuple[int, ...]
) -> torch.Tensor:
    """Return float32 numbers, 0 where they are not valid."""
    numbers = np.zeros((len(valid), *shape)) if values is None else finite(file, key, values, valid)
    mask = valid.reshape(-1, *[1] * len(shape))
    return torch.from_numpy(np.where(mask, numbers, 0).astype(np.float32))


def _confident(
    file: Path, key: str, values: np.ndarray | None, valid: np.ndarray, width: int
) -> torch.Tensor:
    """Return keypoints, 0 where the confidence is 0 or the row is not valid."""
    if values is None:
        return torch.zeros(len(valid), len(J24), width)
    check_confidence(file, key, values)
    seen = (values[..., -1:] > 0) & valid[:, None, None]
    kept = np.where(seen, values, 0)
    kept[..., -1] = np.minimum(kept[..., -1], 1)
    return torch.from_numpy(finite(file, key, kept).astype(np.float32))


def _rooted(keypoints: np.ndarray | None) -> np.ndarray | None:
    """Return 3D keypoints relative to the pelvis; relative to the middle of the hips where it is unknown."""
    if keypoints is None:
        return None
    pelvis, hips = J24.index("pelvis"), [J24.index("right_hip"), J24.index("left_hip")]
    known = keypoints[:, pelvis, 3:] > 0
    origin = np.where(known, keypoints[:, pelvis, :3], keypoints[:, hips, :3].mean(1))
    return np.concatenate([keypoints[..., :3] - origin[:, None], keypoints[..., 3:]], 2)


def _texts(values: Texts | None, n: int) -> list[str]:
    return [""] * n if values is None else [str(value) for value in values]


def annotation_file(source: Path, file: Path | None) -> tuple[Path, Path]:
    """Return the folder that other files are relative to, and the annotation file.

    `file` is relative to the folder `source`; where it is None, `source` itself is the file.
    """
    if file is not None:
        return source, source / file
    if source.is_dir():
        raise InputError(f"{source} is a folder; set options.file to the annotation file in it")
    return source.parent, source


def concatenated(parts: list[Rows]) -> Rows:
    """Return the rows of all parts, in order; all parts have the columns of the first."""
    columns = [field.name for field in fields(Rows) if getattr(parts[0], field.name) is not None]
    return Rows(**{c: np.concatenate([np.asarray(getattr(p, c)) for p in parts]) for c in columns})


def to_j24(values: np.ndarray, joints: Sequence[str | None]) -> np.ndarray:
    """Return (N, 24, C) numbers in the order of J24 from (N, len(joints), C).

    `joints` names the J24 joint of each column, None where it has none; all other joints are 0.
    """
    ordered = np.zeros((len(values), len(J24), values.shape[2]))
    for index, joint in enumerate(joints):
        if joint is not None:
            ordered[:, J24.index(joint)] = values[:, index]
    return ordered
