"""SMPL fits to image annotations from several sources: the first valid one of each row is taken.

SPIN's files give fits by position (`spin_fits`, `static_fits`, the multi-view fits of MPI-INF-3DHP): a
fit belongs to the row of the npz with the same number, so the lengths must agree. EFT gives them by
image name.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pmnet.body import BodyModel, BodyParams
from pmnet.body.keypoints import J24, LIMBS
from pmnet.body.parts import JOINTS
from pmnet.camera import BOX_PX, fit_camera, project
from pmnet.datasets._arrays import array
from pmnet.datasets._rows import Rows
from pmnet.errors import InputError
from pmnet.files import read_npz


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


@dataclass
class Fits:
    """A fit for each of N rows: rotation vectors (rad), betas, and whether it is valid."""

    poses: np.ndarray  # (N, 72)
    betas: np.ndarray  # (N, 10)
    valid: np.ndarray  # (N,)


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


def read_fits(path: Path) -> Fits:
    """Return the fits of an npz: `pose`, `betas` or `shape`, `valid_fit` or `has_smpl`."""
    values = read_npz(path, ("pose", "betas", "shape", "valid_fit", "has_smpl"))
    shape = "betas" if "betas" in values else "shape"
    flag = "valid_fit" if "valid_fit" in values else "has_smpl"
    poses = array(path, values, "pose", (None, 72))
    return _of_rows(
        path,
        poses,
        array(path, values, shape, (len(poses), 10)),
        array(path, values, flag, (len(poses),)),
    )


def read_static(path: Path) -> Fits:
    """Return the fits of a npy of SPIN's static_fits: pose and betas side by side, (N, 82)."""
    try:
        both = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable .npy ({error}); copy it anew") from None
    both = array(path, {"fits": both}, "fits", (None, 82))
    return _of_rows(path, both[:, :72], both[:, 72:], np.ones(len(both)))


def _of_rows(path: Path, poses: np.ndarray, betas: np.ndarray, valid: np.ndarray) -> Fits:
    finite = np.isfinite(poses).all(1) & np.isfinite(betas).all(1)
    bad = (valid > 0) & ~finite
    if bad.any():
        raise InputError(
            f"{path}: the fit of row {int(bad.argmax())} is NaN or infinite, but marked as valid; "
            f"{int(bad.sum())} rows are; mark them as not valid or copy the file anew"
        )
    return Fits(poses, betas, valid > 0)


def read_eft(path: Path, rows: Rows) -> Fits:
    """Return EFT's fits (json) for the rows of the same image, by the nearest centre of the box.

    A fit farther from a row's centre than half its box belongs to another person.
    """
    try:
        entries = json.loads(path.read_text())["data"]
        names = [Path(entry["imageName"]).name for entry in entries]
        centers = np.array([entry["bbox_center"] for entry in entries], float).reshape(-1, 2)
        rotmats = np.array([entry["parm_pose"] for entry in entries], float).reshape(-1, 24, 3, 3)
        betas = np.array([entry["parm_shape"] for entry in entries], float).reshape(-1, 10)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not EFT's json ({error!r}); expected `data`, a list of fits"
        ) from None
    row, fit = _nearest(rows, names, centers)
    n = len(rows)
    found = Fits(np.zeros((n, 72)), np.zeros((n, 10)), np.zeros(n, bool))
    rotvecs = Rotation.from_matrix(rotmats[fit].reshape(-1, 3, 3)).as_rotvec()
    found.poses[row], found.betas[row] = rotvecs.reshape(-1, 72), betas[fit]
    found.valid[row] = True
    return found


def _nearest(
    rows: Rows, names: Sequence[str], centers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of a row and the fit to it: same image, nearest centres first."""
    by_name: dict[str, list[int]] = {}
    for fit, name in enumerate(names):
        by_name.setdefault(name, []).append(fit)
    pairs = []
    for row, image in enumerate(rows.image_name):
        for fit in by_name.get(Path(str(image)).name, []):
            far = float(np.linalg.norm(centers[fit] - rows.center[row]))
            if far <= rows.scale[row] * BOX_PX / 2:
                pairs.append((far, row, fit))
    used_rows, used_fits = set[int](), set[int]()
    kept = []
    for _, row, fit in sorted(pairs):
        if row not in used_rows and fit not in used_fits:
            used_rows.add(row)
            used_fits.add(fit)
            kept.append((row, fit))
    found = np.array(kept, int).reshape(-1, 2)
    return found[:, 0], found[:, 1]


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


@torch.no_grad()
def reprojection(fits: Fits, rows: Rows, body: BodyModel) -> np.ndarray:
    """Return the mean distance of fitted to annotated limbs, as a share of the box; 0 where unknown.

    The camera is the weak-perspective one that fits best; the joints are the skeleton's, which need no
    vertices.
    """
    if rows.keypoints_2d is None:
        return np.zeros(len(rows))
    limbs = [JOINTS.index(joint) for joint in LIMBS]
    seen = torch.from_numpy(rows.keypoints_2d[:, [J24.index(joint) for joint in LIMBS]]).float()
    params = BodyParams.from_rotvecs(
        torch.from_numpy(fits.poses).float().view(-1, 24, 3), torch.from_numpy(fits.betas).float()
    )
    points = body.joints(params)[:, limbs]
    weights = (seen[..., 2] > 0).float()
    found = project(points, fit_camera(points, seen[..., :2], weights))
    error = ((found - seen[..., :2]).norm(dim=2) * weights).sum(1) / weights.sum(1)
    share = error.numpy() / (rows.scale * BOX_PX)
    return np.where(np.isfinite(share), share, 0.0)
