"""SMPL fits to image annotations from several sources: the first valid one of each row is taken.

SPIN's files give fits by position (`spin_fits`, `static_fits`, the multi-view fits of MPI-INF-3DHP): a
fit belongs to the row of the npz with the same number, so the lengths must agree. EFT gives them by
image name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import BOX_PX, fit_camera, project
from pmnet.body.keypoints import J24, LIMBS
from pmnet.body.parts import JOINTS
from pmnet.core.errors import InputError
from pmnet.datasets._shared.fit_files import Fits, read_eft, read_fits, read_static
from pmnet.datasets._shared.rows import Rows

CHUNK = 8192  # bodies at a time


@dataclass(frozen=True)
class FitSource:
    """Where fits lie: `own` are those of the annotation file itself, `file` is then not read."""

    kind: Literal["own", "spin", "static", "multiview", "eft"]
    file: Path | None


@dataclass(frozen=True)
class Reject:
    """Fits that are not taken: 0 switches a rule off.

    `max_beta`: a shape coefficient beyond this (SPIN: 3); `max_reprojection`: limbs farther from the
    annotated ones than this share of the box, on average, under the camera that fits best.
    """

    max_beta: float
    max_reprojection: float


def with_fits(
    rows: Rows,
    sources: Sequence[FitSource],
    reject: Reject,
    folder: Path,
    file: Path,
    body: BodyModel,
) -> tuple[Rows, dict[str, int]]:
    """Return rows whose pose and shape are the first valid of the sources, and what was dropped.

    `folder` is what the files of the sources are relative to, `file` the annotations.
    """
    n, counts = len(rows), dict[str, int]()
    poses, betas, valid = np.zeros((n, 72)), np.zeros((n, 10)), np.zeros(n, bool)
    for source in sources:
        name = "own fits" if source.file is None else str(source.file)
        found = _read(source, rows, folder, file)
        kept = _accepted(found, rows, reject, body, name, counts)
        taken = kept & ~valid
        poses[taken], betas[taken] = found.poses[taken], found.betas[taken]
        valid |= kept
        counts[f"fits of {name}"] = int(taken.sum())
    counts["without a fit"] = int((~valid).sum())
    rows.poses, rows.betas, rows.has_smpl = poses, betas, valid
    return rows, counts


def _read(source: FitSource, rows: Rows, folder: Path, file: Path) -> Fits:
    if source.kind == "own":
        if rows.poses is None or rows.betas is None:
            raise InputError(f"{file}: has no fits of its own (keys pose, shape); drop kind own")
        valid = np.ones(len(rows), bool) if rows.has_smpl is None else rows.has_smpl > 0
        return Fits(rows.poses, rows.betas, valid)
    if source.file is None:
        raise InputError(f"{file}: fits of kind {source.kind} need the name of their file")
    path = folder / source.file
    if source.kind == "eft":
        return read_eft(path, rows)
    fits = read_static(path) if source.kind == "static" else read_fits(path)
    if len(fits.valid) != len(rows):
        raise InputError(
            f"{path}: {len(fits.valid)} fits for the {len(rows)} rows of {file}; they belong together "
            "by position, so take both from one release"
        )
    return fits


def _accepted(
    fits: Fits, rows: Rows, reject: Reject, body: BodyModel, name: str, counts: dict[str, int]
) -> np.ndarray:
    kept = fits.valid.copy()
    if reject.max_beta > 0:
        wild = kept & (np.abs(fits.betas) > reject.max_beta).any(1)
        counts[f"rejected: |beta| > {reject.max_beta:g} in {name}"] = int(wild.sum())
        kept &= ~wild
    if reject.max_reprojection > 0:
        far = kept & (reprojection(fits, rows, body) > reject.max_reprojection)
        counts[f"rejected: reprojection > {reject.max_reprojection:g} in {name}"] = int(far.sum())
        kept &= ~far
    return kept


def reprojection(fits: Fits, rows: Rows, body: BodyModel) -> np.ndarray:
    """Return the mean distance of fitted to annotated limbs, as a share of the box; 0 where unknown.

    The camera is the weak-perspective one that fits best; the joints are the skeleton's, which need no
    vertices. Fits that are not valid count as unknown.
    """
    share = np.zeros(len(rows))
    if rows.keypoints_2d is None:
        return share
    valid = np.flatnonzero(fits.valid)
    for start in range(0, len(valid), CHUNK):
        part = valid[start : start + CHUNK]
        share[part] = _error_px(fits, rows.keypoints_2d, part, body) / (rows.scale[part] * BOX_PX)
    return np.nan_to_num(share, nan=0.0, posinf=0.0, neginf=0.0)


@torch.no_grad()
def _error_px(
    fits: Fits, keypoints_2d: np.ndarray, part: np.ndarray, body: BodyModel
) -> np.ndarray:
    limbs = [JOINTS.index(joint) for joint in LIMBS]
    seen = torch.from_numpy(keypoints_2d[part][:, [J24.index(joint) for joint in LIMBS]]).float()
    params = BodyParams.from_rotvecs(
        torch.from_numpy(fits.poses[part]).float().view(-1, 24, 3),
        torch.from_numpy(fits.betas[part]).float(),
    )
    points = body.joints(params)[:, limbs]
    weights = (seen[..., 2] > 0).float()
    # what is not seen may hold anything, NaN too
    target = torch.where(weights[..., None] > 0, seen[..., :2], 0)
    found = project(points, fit_camera(points, target, weights))
    return (((found - target).norm(dim=2) * weights).sum(1) / weights.sum(1)).numpy()
