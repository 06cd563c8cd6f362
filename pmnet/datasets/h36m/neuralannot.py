"""Human3.6M from NeuralAnnot and I2L-MeshNet: bodies in the world frame, moved into each camera's frame.

The camera turns the root and moves the joints: x_cam = R x_world + t. The place of the body is not
needed: meshes are relative to the root. For the files see `annotation_json.py`.
"""

import re
from pathlib import Path
from typing import Final

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pmnet.body import BodyModel, BodyParams
from pmnet.body.keypoints import J24
from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.datasets._shared.rows import Rows, concatenated, to_j24
from pmnet.datasets._shared.units import BOX_MARGIN, box_of_corners
from pmnet.datasets.h36m.annotation_json import (
    H36M17,
    SubjectImages,
    read_cameras,
    read_fits,
    read_images,
    read_joints,
    sibling_file,
)

DATA: Final = re.compile(r"Human36M_subject(\d+)_data\.json")
CHUNK: Final = 4096  # bodies that are posed at once


def subjects_in(folder: Path) -> dict[str, Path]:
    """Return the data file of each subject (S1, S5, ...) in a folder."""
    files = {m[1]: path for path in folder.glob("*.json") if (m := DATA.fullmatch(path.name))}
    return {f"S{number}": files[number] for number in sorted(files, key=int)}


def read_neuralannot(
    folder: Path,
    subjects: list[str] | None,
    cameras: list[int],
    every: int,
    max_fit_error_mm: float,
    body: BodyModel,
) -> tuple[Rows, dict[str, int]]:
    """Return the rows of the wanted subjects and cameras (from 0), and counts of dropped rows and fits.

    Every `every`-th frame is taken, counted from the first. A fit is dropped where its joints miss the
    annotated ones by more than `max_fit_error_mm` on average (0: no limit); I2L-MeshNet's limit is 25.
    Raises InputError naming the file and the entry at fault.
    """
    files = subjects_in(folder)
    if missing := set(subjects or ()) - set(files):
        raise InputError(
            f"{folder}: no Human36M_subjectN_data.json of {', '.join(sorted(missing))}; found are "
            f"{', '.join(files) or 'none'}"
        )
    if not files:
        raise InputError(f"{folder}: no Human36M_subject*_data.json in it")
    parts, counts = [], dict[str, int]()
    for subject in track(subjects or list(files), "reading NeuralAnnot"):
        data = files[subject]
        images, image_counts = read_images(data, cameras, every)
        rows, more = _seen(data, subject, images, max_fit_error_mm, body)
        parts.append(rows)
        for rule, count in (image_counts | more).items():
            counts[rule] = counts.get(rule, 0) + count
    rows = concatenated(parts)
    if not len(rows):
        raise InputError(f"{folder}: no row is left; {counts}; widen options.cameras or every")
    return rows, counts


def _seen(
    data: Path,
    subject: str,
    images: SubjectImages,
    max_fit_error_mm: float,
    body: BodyModel,
) -> tuple[Rows, dict[str, int]]:
    """Return the rows of one subject: what each camera saw at each moment."""
    world = read_joints(sibling_file(data, "joint_3d"), images.moments)
    poses, betas, has = read_fits(data, images.moments)
    counts = {"without SMPL: no fit of the frame": int((~has)[images.moment].sum())}
    if max_fit_error_mm > 0:
        far = np.zeros(len(has), bool)
        far[has] = fit_error_mm(poses[has], betas[has], world[has], body) > max_fit_error_mm
        counts[f"rejected: fit error > {max_fit_error_mm:g} mm"] = int(far[images.moment].sum())
        has &= ~far
    used = np.unique(images.camera).tolist()
    turn, shift, focal, middle = (
        values[images.camera] for values in read_cameras(sibling_file(data, "camera"), used)
    )
    seen = np.einsum("nij,nkj->nki", turn, world[images.moment]) + shift[:, None]
    px = focal[:, None] * seen[..., :2] / seen[..., 2:] + middle[:, None]
    _check_boxes(sibling_file(data, "camera"), px, seen, images)
    center, scale = box_of_corners(images.corners, BOX_MARGIN)
    rotvecs = poses[images.moment]
    if len(rotvecs):
        root = Rotation.from_matrix(turn) * Rotation.from_rotvec(rotvecs[:, :3])
        rotvecs[:, :3] = root.as_rotvec()
    sure = np.ones((len(px), len(H36M17), 1))
    clips = [f"{subject}_act_{int(a):02d}_subact_{int(s):02d}" for a, s, _ in images.moments]
    return Rows(
        image_name=images.name,
        center=center,
        scale=scale,
        poses=rotvecs,
        betas=betas[images.moment],
        has_smpl=has[images.moment],
        keypoints_2d=to_j24(np.concatenate([px, sure], 2), H36M17),
        keypoints_3d=to_j24(np.concatenate([seen, sure], 2), H36M17),
        subject=np.full(len(px), subject),
        gender=np.full(len(px), "neutral"),
        sequence=np.array(clips, str)[images.moment],
    ), counts


def _check_boxes(path: Path, px: np.ndarray, seen: np.ndarray, images: SubjectImages) -> None:
    """Raise InputError where joints lie outside of the boxes: the camera has another unit or direction."""
    low, size = images.corners[:, None, :2], images.corners[:, None, 2:]
    inside = ((px > low - size / 2) & (px < low + 1.5 * size)).all(2) & (seen[..., 2] > 0)
    lost = inside.mean(1) < 0.5
    if lost.sum() * 2 > len(lost):
        row = int(lost.argmax())
        raise InputError(
            f"{path}: the joints of {int(lost.sum())} of {len(lost)} images are not in their boxes, first in "
            f"{images.name[row]}; expected x_cam = R x_world + t, t in mm, f and c in px"
        )


@torch.no_grad()
def fit_error_mm(
    poses: np.ndarray, betas: np.ndarray, joints: np.ndarray, body: BodyModel
) -> np.ndarray:
    """Return the mean distance of fitted to annotated joints (N, 17, 3) m, centres aligned, in mm."""
    used = [J24.index(joint) for joint in H36M17]
    errors = np.empty(len(poses))
    for start in track(range(0, len(poses), CHUNK), "measuring fits"):
        part = slice(start, start + CHUNK)
        rotvecs = torch.from_numpy(poses[part]).float().view(-1, 24, 3)
        params = BodyParams.from_rotvecs(rotvecs, torch.from_numpy(betas[part]).float())
        fitted = body.keypoints_of(params)[:, used].double().numpy()
        apart = (fitted - fitted.mean(1, keepdims=True)) - (
            joints[part] - joints[part].mean(1, keepdims=True)
        )
        errors[part] = 1000 * np.linalg.norm(apart, axis=2).mean(1)
    return errors
