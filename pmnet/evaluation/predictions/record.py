"""Predictions in one form, whatever system wrote them, and the checks that need no truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.body.checks import VERTICES
from pmnet.body.parts import JOINTS
from pmnet.body.rotations import rotvec_to_rotmat
from pmnet.core.errors import InputError
from pmnet.formats.arrays import array, finite, same_length

JointKind = Literal["smpl24", "h36m17", "j14", "j17"]
JOINT_COUNTS: Final[Mapping[str, int]] = {"smpl24": 24, "h36m17": 17, "j14": 14, "j17": 17}
MAX_SKEW: Final = 0.01  # of a rotation matrix: its product with its transpose, from the identity
OTHER_MESHES: Final[Mapping[int, str]] = {
    10475: "SMPL-X: map them to SMPL's 6890 first (`--mapping smplx2smpl.npz`, key `matrix`)",
    18439: "MHR: give `--mapping mhr2smpl_mapping.npz --triangles FILE`",
    431: "a coarse SMPL (METRO): upsample them to 6890 first",
    778: "MANO, a hand",
}
OTHER_BETAS: Final = (
    "10 betas belong to SMPL; other numbers to another body model (11: BEDLAM's SMPL-X, 16: AMASS's "
    "SMPL-H, 45: MHR), whose betas mean nothing here: give `vertices` instead, or the first 10 if the "
    "model is SMPL"
)


@dataclass(frozen=True)
class Predictions:
    """N predicted people; a column is None where the file does not have it.

    There are bodies as `pose` (N, 72) rad or (N, 24, 3, 3) with `betas` (N, 10), or as `vertices`
    (N, 6890, 3) m, or `joints` (N, J, 3) m of `joint_set` alone; the camera is at rest, x right, y down.
    `image_name` says which image a row is of, or `frame` the number of the image; with neither, row i is
    sample i. Of several people in an image, `person` is the subject, or `box` (N, 4) px is x0, y0, x1, y1.
    `body` is the sha256 of the body model.
    """

    source: Path
    layout: str
    pose: np.ndarray | None = None
    betas: np.ndarray | None = None
    vertices: np.ndarray | None = None
    joints: np.ndarray | None = None
    joint_set: str = ""
    image_name: Sequence[str] | None = None
    frame: np.ndarray | None = None
    person: Sequence[str] | None = None
    box: np.ndarray | None = None
    body: str = ""

    def __len__(self) -> int:
        return len(next(x for x in (self.pose, self.vertices, self.joints) if x is not None))

    def params(self, rows: np.ndarray) -> BodyParams:
        """Return pose and shape of some rows."""
        assert self.pose is not None and self.betas is not None
        pose = torch.from_numpy(np.asarray(self.pose[rows], np.float32))
        rotmats = rotvec_to_rotmat(pose.view(-1, 24, 3)) if pose.ndim == 2 else pose
        return BodyParams(rotmats, torch.from_numpy(np.asarray(self.betas[rows], np.float32)))

    def vertices_of(self, rows: np.ndarray) -> Float[Tensor, "n v 3"]:
        """Return the vertices (m) of some rows; raises InputError where one is NaN or infinite."""
        return self._read("vertices", rows)

    def joints_of(self, rows: np.ndarray) -> Float[Tensor, "n j 3"]:
        """Return the joints (m) of some rows; raises InputError where one is NaN or infinite."""
        return self._read("joints", rows)

    def _read(self, key: str, rows: np.ndarray) -> Tensor:
        values = np.asarray(getattr(self, key)[rows], np.float32)
        bad = ~np.isfinite(values).all((1, 2))
        if bad.any():
            raise InputError(
                f"{self.source}: {key!r} row {int(rows[bad.argmax()])} is NaN or infinite; drop these rows, "
                "or predict them again"
            )
        return torch.from_numpy(values)

    @staticmethod
    def cat(source: Path, parts: "Sequence[Predictions]") -> "Predictions":
        """Return all rows of parts that have the same columns; raises InputError where they differ."""
        first = parts[0]
        if len(parts) == 1:
            return replace(first, source=source)
        columns: dict[str, Any] = {}
        for name in (field.name for field in fields(Predictions)[2:]):
            values = [getattr(part, name) for part in parts]
            if name in ("joint_set", "body"):
                columns[name] = values[0]
                odd = next((i for i, value in enumerate(values) if value != values[0]), None)
            else:
                odd = next(
                    (i for i, value in enumerate(values) if (value is None) != (values[0] is None)),
                    None,
                )
            if odd is not None:
                raise InputError(
                    f"{source}: part {odd} ({parts[odd].source}) differs from part 0 in {name!r}; give "
                    "predictions of one model, written in one way"
                )
            if name in ("image_name", "person") and values[0] is not None:
                columns[name] = [text for value in values for text in value]
            elif isinstance(values[0], np.ndarray):
                columns[name] = _joined(source, name, values)
        return Predictions(source, first.layout, **columns)


def _joined(source: Path, key: str, values: list[np.ndarray]) -> np.ndarray:
    shapes = [value.shape[1:] for value in values]
    odd = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if odd is not None:
        raise InputError(
            f"{source}: {key!r} of part {odd} is of shape {values[odd].shape}, that of part 0 of "
            f"{values[0].shape}; give predictions of one model"
        )
    return np.concatenate(values)


def checked(predictions: Predictions) -> Predictions:
    """Return the predictions; raises InputError, naming key and row, where they cannot be scored.

    Refused are columns of different lengths, NaN, betas and meshes of other body models, and matrices that
    are no rotations.
    """
    p = predictions
    lengths = {
        name: value
        for name in (f.name for f in fields(p))
        if isinstance(value := getattr(p, name), np.ndarray | list)
    }
    if not same_length(p.source, lengths):
        raise InputError(f"{p.source}: has no rows; predict something first")
    if p.pose is not None:
        if p.betas is None:
            raise InputError(f"{p.source}: has poses, but no 'betas'; save both")
        _check_pose(p.source, p.pose)
        finite(p.source, "betas", p.betas)
        if p.betas.shape[1:] != (10,):
            raise InputError(
                f"{p.source}: 'betas' is of shape {p.betas.shape}; expected N x 10. {OTHER_BETAS}"
            )
    if p.vertices is not None:
        check_mesh(p.source, p.vertices)
    if p.joints is not None:
        count = JOINT_COUNTS.get(p.joint_set)
        if count is None or p.joints.shape[1:] != (count, 3):
            raise InputError(
                f"{p.source}: 'joints' is of shape {p.joints.shape} with 'joint_set' {p.joint_set!r}; "
                f"expected {', '.join(f'{k} (N x {n} x 3)' for k, n in JOINT_COUNTS.items())}"
            )
    return p


def _check_pose(source: Path, pose: np.ndarray) -> None:
    if pose.shape[1:] not in ((72,), (24, 3, 3)):
        raise InputError(
            f"{source}: 'pose' is of shape {pose.shape}; expected N x 72 rotation vectors (rad) or "
            "N x 24 x 3 x 3 matrices, the root first. Poses of SMPL-X or SMPL-H (55, 52 joints) are of "
            "another body model: give `vertices` instead"
        )
    finite(source, "pose", pose)
    if pose.ndim == 4:
        skew = np.abs(pose @ pose.swapaxes(-1, -2) - np.eye(3)).max((1, 2, 3))
        wrong = (skew > MAX_SKEW) | (np.linalg.det(pose) < 0).any(1)
        if wrong.any():
            raise InputError(
                f"{source}: 'pose' row {int(wrong.argmax())} holds matrices that are no rotations, as do "
                f"{int(wrong.sum())} of {len(pose)} rows in all; give rotation matrices (a 6D output made "
                "orthogonal), or rotation vectors N x 72"
            )


def check_mesh(source: Path, vertices: np.ndarray) -> None:
    """Raise InputError where vertices are not N x 6890 x 3."""
    if vertices.ndim == 3 and vertices.shape[1:] == (VERTICES, 3) and vertices.dtype.kind == "f":
        return
    count = vertices.shape[-2] if vertices.ndim > 1 else 0
    other = OTHER_MESHES.get(count)
    raise InputError(
        f"{source}: 'vertices' is {vertices.dtype} of shape {vertices.shape}; expected numbers, "
        f"N x {VERTICES} x 3 in m" + f". These are vertices of {other}" * (other is not None)
    )


# --- for readers of layouts


def pose_of(source: Path, global_orient: Any, body_pose: Any) -> np.ndarray:
    """Return the pose of root and body in one array: N x 72 rotation vectors or N x 24 x 3 x 3 matrices."""
    root, body = np.asarray(global_orient), np.asarray(body_pose)
    matrices = body.shape[-2:] == (3, 3) and body.ndim >= 3
    width = (3, 3) if matrices else (3,)
    joints = len(JOINTS) - 1
    try:
        n = body.size // (joints * int(np.prod(width)))
        both = root.reshape(n, 1, *width), body.reshape(n, joints, *width)
    except ValueError:
        raise InputError(
            f"{source}: 'global_orient' is of shape {root.shape} and 'body_pose' of {body.shape}; expected "
            f"the rotations of a root and of {joints} joints, as vectors or as matrices"
        ) from None
    pose = np.concatenate(both, 1).astype(np.float64)
    return pose if matrices else pose.reshape(n, 72)


def floats(
    source: Path, values: Mapping[str, Any], key: str, *tails: tuple[int, ...]
) -> np.ndarray:
    """Return numbers of shape N x one of `tails`; raises InputError, naming the key, for others."""
    found = np.asarray(values.get(key))
    for tail in tails:
        if found.ndim == len(tail) + 1 and found.shape[1:] == tail:
            return array(source, values, key, (None, *tail))
    return array(source, values, key, (None, *tails[0]))  # says what is wrong


def texts_at(values: Mapping[str, Any], *names: str) -> list[str] | None:
    """Return the texts under the first of several names that is there."""
    for name in names:
        if values.get(name) is not None:
            found = values[name]
            listed = (
                [found] if isinstance(found, str | bytes) else np.asarray(found).ravel().tolist()
            )
            return [
                text.decode(errors="surrogateescape") if isinstance(text, bytes) else str(text)
                for text in listed
            ]
    return None
