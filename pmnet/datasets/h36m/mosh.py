"""MoSh of Human3.6M (neutrMosh/neutrSMPL_H3.6): one pickle per clip and camera, joined by image name.

`S1/Directions 1_cam3_aligned.pkl` holds `new_poses` (T, 72), rotation vectors in rad at 10 Hz, and
`betas` (10,) of the neutral body. The root is in the frame of camera 3, turned by half a turn about x.
`S1/Directions 1.pkl` holds `poses` in the world frame; the cameras in it are unknown (hmr#62, SPIN#73).
"""

from pathlib import Path
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.datasets._shared.discovery import ALIGNED
from pmnet.datasets._shared.joins import check_matched
from pmnet.datasets._shared.rows import Rows
from pmnet.datasets._shared.units import in_rad
from pmnet.datasets.h36m.names import CAMERAS, Shots
from pmnet.formats.arrays import array, finite
from pmnet.formats.pickles import read_pickle

STEP: Final = 5  # the video has 50 Hz, MoSh 10 (mmhuman3d)
CURE: Final = "take the files NAME_cam0_aligned.pkl to NAME_cam3_aligned.pkl of neutrSMPL_H3.6"


def with_mosh(rows: Rows, shots: Shots, folder: Path) -> tuple[Rows, dict[str, int]]:
    """Return rows with MoSh's pose and shape, and counts of rows with and without MoSh.

    Rows without MoSh keep their own fit, if they have one. Each pickle is read once.
    """
    files = find_aligned(folder)
    n = len(rows)
    poses = np.zeros((n, 72)) if rows.poses is None else rows.poses.copy()
    betas = np.zeros((n, 10)) if rows.betas is None else rows.betas.copy()
    valid = np.zeros(n, bool) if rows.poses is None else _flags(rows.has_smpl, n)
    gender = np.full(n, "", "<U7") if rows.gender is None else np.array(rows.gender, "<U7")
    no_file, beyond = 0, 0
    for (subject, action, camera), clip in track(_clips(shots), "reading MoSh"):
        path = files.get((subject, action, CAMERAS.index(camera)))
        if path is None:
            no_file += len(clip)
            continue
        clip_poses, shape = read_aligned(path)
        frame = (shots.frame[clip] - 1) // STEP
        there = (frame >= 0) & (frame < len(clip_poses))
        beyond += int((~there).sum())
        taken = clip[there]
        poses[taken], betas[taken] = clip_poses[frame[there]], shape
        valid[taken], gender[taken] = True, "neutral"
    if no_file == n:
        raise InputError(
            f"{folder}: no MoSh file for any of {n} images; the first needs "
            f"{shots.subject[0]}/{shots.action[0]}_cam{CAMERAS.index(shots.camera[0])}_aligned.pkl, "
            "spaces or _ in the action's name"
        )
    matched = n - no_file - beyond
    cure = (
        "MoSh belongs to images by subject, action, camera and frame: take the files of these clips"
    )
    check_matched(folder, matched, n, "images and frames of MoSh", cure)
    rows.poses, rows.betas, rows.has_smpl, rows.gender = poses, betas, valid, gender
    return rows, {
        "with MoSh": matched,
        "without MoSh: no file": no_file,
        "without MoSh: frame beyond the end": beyond,
    }


def find_aligned(folder: Path) -> dict[tuple[str, str, int], Path]:
    """Return the camera-aligned files by subject, action (spaces as _) and camera.

    Raises InputError where none is found, or where only world-frame files are found.
    """
    files, others = {}, []
    for path in sorted(folder.glob("S*/*.pkl")):
        if match := ALIGNED.fullmatch(path.stem):
            files[path.parent.name, match[1].replace(" ", "_"), int(match[2])] = path
        else:
            others.append(path)
    if not files and others:
        raise InputError(
            f"{others[0]}: MoSh in the world's frame, as in all {len(others)} files of {folder}; the "
            f"cameras of that frame are not known; {CURE}"
        )
    if not files:
        raise InputError(
            f"{folder}: no S1/NAME_cam0_aligned.pkl below it; options.mosh must be the folder "
            "neutrSMPL_H3.6, in which S1, S5 and so on are"
        )
    return files


def read_aligned(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return poses (T, 72) in SPIN's camera frame and betas (10,) of one file."""
    values = read_pickle(path)
    if "new_poses" not in values and "poses" in values:
        raise InputError(
            f"{path}: has 'poses', which are in the world's frame, but not 'new_poses'; {CURE}"
        )
    poses = in_rad(path, "new_poses", array(path, values, "new_poses", (None, 72)))
    flat = {"betas": np.ravel(np.asarray(values["betas"]))} if "betas" in values else {}
    betas = array(path, flat or values, "betas", (10,))
    finite(path, "betas", betas[None])
    # the camera's y is down: mmhuman3d turns the root by R_x(pi) from the right
    root = Rotation.from_rotvec(poses[:, :3]) * Rotation.from_rotvec([np.pi, 0, 0])
    return np.concatenate([root.as_rotvec(), poses[:, 3:]], 1), betas


def _clips(shots: Shots) -> list[tuple[tuple[str, str, str], np.ndarray]]:
    """Return (subject, action, camera) of each clip with its rows."""
    clips: dict[tuple[str, str, str], list[int]] = {}
    names = zip(shots.subject.tolist(), shots.action.tolist(), shots.camera.tolist(), strict=True)
    for row, name in enumerate(names):
        clips.setdefault(name, []).append(row)
    return [(name, np.array(rows)) for name, rows in clips.items()]


def _flags(given: np.ndarray | None, n: int) -> np.ndarray:
    return np.ones(n, bool) if given is None else given > 0
