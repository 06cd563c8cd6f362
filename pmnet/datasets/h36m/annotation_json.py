"""The json files of Human3.6M from NeuralAnnot and I2L-MeshNet, each as arrays.

For subject 1: Human36M_subject1_data.json (images and boxes in px, COCO's layout), _camera.json (R, t in
mm, f and c in px of cameras 1 to 4), _joint_3d.json (17 joints in mm, in the world's frame) and
_SMPL_NeuralAnnot.json or _smpl_param.json (pose in rad, shape) by action, subaction and frame (from 0).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.datasets._shared.joins import check_matched
from pmnet.datasets._shared.units import from_mm, in_rad
from pmnet.formats.arrays import finite
from pmnet.formats.json import by_id, keys, read_json

# the 17 joints of Human3.6M in the NeuralAnnot files: the right leg first
H36M17: Final = (
    *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("spine", "neck", "jaw", "head"),
    *("left_shoulder", "left_elbow", "left_wrist"),
    *("right_shoulder", "right_elbow", "right_wrist"),
)


FITS: Final = ("SMPL_NeuralAnnot", "smpl_param")
Moment = tuple[str, str, str]  # action, subaction, frame, as the keys of the files


@dataclass(frozen=True)
class SubjectImages:
    """N images of one subject: names, boxes (x, y, width, height in px), cameras from 0.

    `moment` is the index in `moments` of the instant at which all cameras took an image.
    """

    name: np.ndarray
    corners: np.ndarray
    camera: np.ndarray
    moment: np.ndarray
    moments: list[Moment]


def read_images(
    path: Path, cameras: Sequence[int], every: int
) -> tuple[SubjectImages, dict[str, int]]:
    """Return every `every`-th frame of the wanted cameras (from 0), and counts of dropped images."""
    values = _object(path)
    try:
        images = by_id(path, values["images"], "id", "images")
        entries = values["annotations"]
        image_ids = keys(path, entries, "image_id")
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: {error!r}; expected lists `images`, with ids, and `annotations`"
        ) from None
    counts = {"images": len(entries), "dropped: another camera": 0}
    counts |= {f"dropped: not every {every}th frame": 0, "dropped: no box": 0}
    names, corners, seen_by, moment = [], [], [], []
    moments: dict[Moment, int] = {}
    for row, entry in enumerate(entries):
        try:
            image = images[image_ids[row]]
            box, camera, frame = entry["bbox"], int(image["cam_idx"]) - 1, int(image["frame_idx"])
            key = (str(image["action_idx"]), str(image["subaction_idx"]), str(frame))
            name = str(image["file_name"])
            low_x, low_y, width, height = map(float, box)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: annotation {row}: {error!r}; expected image_id of an image with file_name, "
                "cam_idx, frame_idx, action_idx, subaction_idx, and bbox of four numbers"
            ) from None
        if camera not in cameras:
            counts["dropped: another camera"] += 1
        elif frame % every:
            counts[f"dropped: not every {every}th frame"] += 1
        elif not (width > 0 and height > 0):
            counts["dropped: no box"] += 1
        else:
            names.append(name)
            corners.append((low_x, low_y, width, height))
            seen_by.append(camera)
            moment.append(moments.setdefault(key, len(moments)))
    boxes = finite(path, "bbox", np.array(corners, float).reshape(-1, 4))
    selected = SubjectImages(
        np.array(names, str), boxes, np.array(seen_by, int), np.array(moment, int), list(moments)
    )
    return selected, counts


def read_joints(path: Path, moments: list[Moment]) -> np.ndarray:
    """Return the joints (M, 17, 3) of each moment in the world's frame, m."""
    values = _object(path)
    joints = np.empty((len(moments), len(H36M17), 3))
    for row, moment in enumerate(moments):
        entry = _at(values, moment)
        if entry is None:
            raise InputError(f"{path}: no joints of {_in_words(moment)}, which has an image")
        joints[row] = _numbers(path, moment, "joints", entry, (len(H36M17), 3))
    return from_mm(path, "joint_3d", joints)


def read_fits(data: Path, moments: list[Moment]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return poses (M, 72) with the root in the world frame, betas (M, 10), and a mask of those found.

    The mask is all False for a subject without a file of fits beside its `data`.
    """
    poses, betas = np.zeros((len(moments), 72)), np.zeros((len(moments), 10))
    has = np.zeros(len(moments), bool)
    for kind in FITS:
        path = sibling_file(data, kind)
        if not path.is_file():
            continue
        values = _object(path)
        for row, moment in enumerate(moments):
            if (entry := _at(values, moment)) is not None:
                pose, shape = (
                    entry.get(key) if isinstance(entry, dict) else None for key in ("pose", "shape")
                )
                poses[row] = _numbers(path, moment, "pose", pose, (72,))
                betas[row] = _numbers(path, moment, "shape", shape, (10,))
                has[row] = True
        if moments:
            cure = (
                f"Fits belong to images by action, subaction and frame, as {_in_words(moments[0])}"
            )
            check_matched(path, int(has.sum()), len(moments), "moments and fits", cure)
        in_rad(path, "pose", poses)
        finite(path, "shape", betas)
        break
    return poses, betas, has


def read_cameras(
    path: Path, cameras: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return R (4, 3, 3), t (4, 3) in m, f and c (4, 2) in px; NaN for cameras not in `cameras`."""
    values = _object(path)
    turn, shift = np.full((4, 3, 3), np.nan), np.full((4, 3), np.nan)
    focal, middle = np.full((4, 2), np.nan), np.full((4, 2), np.nan)
    for camera in cameras:
        entry = values.get(str(camera + 1))
        entry_values = {}
        for key, shape in (("R", (3, 3)), ("t", (3,)), ("f", (2,)), ("c", (2,))):
            value = entry.get(key) if isinstance(entry, dict) else None
            where = f"{key} of camera {camera + 1}"
            entry_values[key] = finite(path, where, _reshaped(path, where, value, shape))
        turn[camera], shift[camera] = entry_values["R"], entry_values["t"] / 1000
        focal[camera], middle[camera] = entry_values["f"], entry_values["c"]
        straight = np.abs(turn[camera] @ turn[camera].T - np.eye(3)).max()
        if straight > 1e-3 or np.linalg.det(turn[camera]) < 0:
            raise InputError(
                f"{path}: R of camera {camera + 1} is not a rotation; expected x_cam = R x_world + t"
            )
    return turn, shift, focal, middle


def sibling_file(data: Path, kind: str) -> Path:
    """Return another file of the same subject as a `_data.json`."""
    return data.with_name(data.name.replace("_data.json", f"_{kind}.json"))


def _object(path: Path) -> Mapping[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object, found a {type(values).__name__}")
    return values


def _at(values: Mapping[str, Any], moment: Moment) -> Any:
    value: Any = values
    for key in moment:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _in_words(moment: Moment) -> str:
    return "action {}, subaction {}, frame {}".format(*moment)


def _numbers(
    path: Path, moment: Moment, key: str, value: Any, shape: tuple[int, ...]
) -> np.ndarray:
    return _reshaped(path, f"{key} of {_in_words(moment)}", value, shape)


def _reshaped(path: Path, where: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.array(value, float).reshape(shape)
    except (TypeError, ValueError):
        expected = " x ".join(map(str, shape))
        raise InputError(f"{path}: {where}: expected {expected} numbers") from None
