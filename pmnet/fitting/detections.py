"""2D joints of one person in several cameras, as detectors write them.

A folder of views holds the calibration (`Calib*.toml`, or `calibration.toml` or `.npz`, there or in
`calibration/`) and, there or in `pose/`, the joints: per camera a folder `NAME...` of OpenPose's JSON, one
file per frame, or a file `NAME.json` of COCO's results; or for all cameras one `keypoints.npz`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.fitting.cameras import Cameras, read_cameras
from pmnet.formats.arrays import array
from pmnet.formats.json import read_json
from pmnet.formats.npz import read_npz

PAIRED: Final = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO_17: Final = (
    "nose",
    *(f"{side}_{name}" for name in ("eye", "ear", *PAIRED) for side in ("left", "right")),
)
_ARMS: Final = tuple(f"{side}_{name}" for side in ("right", "left") for name in PAIRED[:3])
_LEGS: Final = tuple(f"{side}_{name}" for side in ("right", "left") for name in PAIRED[3:])
_FACE: Final = ("right_eye", "left_eye", "right_ear", "left_ear")
_FEET: Final = tuple(
    f"{side}_{name}" for side in ("left", "right") for name in ("big_toe", "small_toe", "heel")
)
BODY_25: Final = ("nose", "openpose_neck", *_ARMS, "mid_hip", *_LEGS, *_FACE, *_FEET)
COCO_18: Final = ("nose", "openpose_neck", *_ARMS, *_LEGS, *_FACE)  # OpenPose's
BY_LENGTH: Final = {len(names): names for names in (COCO_17, COCO_18, BODY_25)}
CALIBRATIONS: Final = ("Calib*.toml", "calibration.toml", "calibration.npz")
RATES: Final = ("mocap_framerate", "mocap_frame_rate", "frame_rate")
LONGEST: Final = 1_000_000  # frames


@dataclass(frozen=True)
class Detections:
    """Pixels and confidences (0: not seen) of T frames, V cameras and M joints.

    `rate_hz` is None where files do not say it.
    """

    names: tuple[str, ...]
    pixels: np.ndarray  # (T, V, M, 2) float64
    confidence: np.ndarray  # (T, V, M) float64
    rate_hz: float | None


def read_views(folder: Path) -> tuple[Cameras, Detections]:
    """Return the cameras of a folder of views and what they saw; raises InputError naming what is wrong."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a calibration and 2D joints in it")
    cameras = read_cameras(_calibration(folder))
    if (packed := folder / "keypoints.npz").is_file():
        return cameras, _of_npz(packed, cameras)
    sources = [_source(folder, name) for name in cameras.names]
    views = [_openpose(path) if path.is_dir() else _coco(path) for path in sources]
    return cameras, _together(folder, sources, views)


def has_calibration(folder: Path) -> bool:
    """Return whether a folder is one of views."""
    return bool(_calibrations(folder))


def _calibrations(folder: Path) -> list[Path]:
    return [
        path
        for place in (folder, folder / "calibration")
        for pattern in CALIBRATIONS
        for path in sorted(place.glob(pattern))
    ]


def _calibration(folder: Path) -> Path:
    found = _calibrations(folder)
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(folder)) for path in found) or "none"
        raise InputError(
            f"{folder}: expected one calibration ({', '.join(CALIBRATIONS)}, there or in calibration/), "
            f"found {names}"
        )
    return found[0]


def _source(folder: Path, name: str) -> Path:
    """Return the folder or file of a camera: what is called NAME or begins with NAME and no further digit."""
    pattern = re.compile(re.escape(name) + r"(?![0-9])", re.IGNORECASE)
    found = [
        path
        for place in (folder, folder / "pose")
        if place.is_dir()
        for path in sorted(place.iterdir())
        if pattern.match(path.name) and (path.is_dir() or path.suffix.lower() == ".json")
    ]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"{folder}: camera {name}: expected one folder {name}... of OpenPose's JSON or one {name}.json, "
            f"there or in pose/; found {names}"
        )
    return found[0]


@dataclass(frozen=True)
class _View:
    """What one camera saw, by number of frame: (M, 3) of px, px and confidence."""

    names: tuple[str, ...]
    frames: dict[int, np.ndarray]


def _openpose(folder: Path) -> _View:
    """Return a folder of OpenPose's JSON; of several people, the one with most confidence."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InputError(f"{folder}: has no .json; expected one file per frame")
    frames: dict[int, np.ndarray] = {}
    names: tuple[str, ...] = ()
    numbers: set[int] = set()
    for path in files:
        number = _number(path)
        if number in numbers:
            raise InputError(f"{path}: frame {number} is there twice; keep one run per folder")
        numbers.add(number)
        content = read_json(path)
        people = content.get("people") if isinstance(content, dict) else None
        if not isinstance(people, list):
            raise InputError(f"{path}: key 'people' is missing; expected OpenPose's JSON")
        bodies = [_numbers(path, person, "pose_keypoints_2d") for person in people]
        if not bodies:
            continue
        best = max(bodies, key=lambda body: float(body[:, 2].sum()))
        known = BY_LENGTH.get(len(best))
        if known is None or (names and known != names):
            lengths = ", ".join(str(length) for length in BY_LENGTH)
            raise InputError(
                f"{path}: {len(best)} joints; expected {lengths}, the same in all files"
            )
        names, frames[number] = known, best
    return _View(names or BODY_25, frames)


def _coco(path: Path) -> _View:
    """Return a file of COCO's results or annotations; of several people, the one with most confidence."""
    content = read_json(path)
    rows = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: expected a list of records with image_id and keypoints")
    frames: dict[int, np.ndarray] = {}
    for number, row in enumerate(rows):
        frame = row.get("image_id") if isinstance(row, dict) else None
        if isinstance(frame, bool) or not isinstance(frame, int) or not 0 <= frame < LONGEST:
            raise InputError(
                f"{path}: record {number}: image_id is {frame!r}; expected a frame number"
            )
        body = _numbers(path, row, "keypoints")
        if len(body) != len(COCO_17):
            raise InputError(f"{path}: record {number}: {len(body)} joints; expected COCO's 17")
        if frame not in frames or body[:, 2].sum() > frames[frame][:, 2].sum():
            frames[frame] = body
    return _View(COCO_17, frames)


def _numbers(path: Path, row: Any, key: str) -> np.ndarray:
    """Return the (M, 3) of a record: x, y and confidence per joint."""
    values = row.get(key) if isinstance(row, Mapping) else None
    if isinstance(values, list) and values and len(values) % 3 == 0:
        try:
            numbers = np.array(values, np.float64)
        except (TypeError, ValueError):
            numbers = np.zeros(0)
        if numbers.ndim == 1 and len(numbers):
            return numbers.reshape(-1, 3)
    raise InputError(f"{path}: {key!r} is no list of x, y, confidence per joint")


def _number(path: Path) -> int:
    """Return the last number of a name that has a frame: video_000000000012_keypoints.json is 12."""
    numbers = re.findall(r"\d+", path.stem)
    if not numbers or int(numbers[-1]) >= LONGEST:
        raise InputError(f"{path}: its name has no number of a frame; expected NAME_000012.json")
    return int(numbers[-1])


def _together(folder: Path, sources: list[Path], views: list[_View]) -> Detections:
    names = views[0].names
    for path, view in zip(sources, views, strict=True):
        if view.names != names:
            raise InputError(
                f"{path}: {len(view.names)} joints, but {sources[0].name} has {len(names)}; run one detector"
            )
    numbers = sorted({frame for view in views for frame in view.frames})
    if not numbers:
        raise InputError(f"{folder}: no file shows a person")
    order = range(numbers[0], numbers[-1] + 1)
    nobody = np.zeros((len(names), 3))
    rows = np.stack(
        [np.stack([view.frames.get(number, nobody) for view in views]) for number in order]
    )
    return _checked(folder, names, rows, None)


def _of_npz(path: Path, cameras: Cameras) -> Detections:
    values = read_npz(path, ("keypoints", "names", "cameras", *RATES))
    rows = array(path, values, "keypoints", (None, len(cameras), None, 3))
    names = tuple(array(path, values, "names", (rows.shape[2],), "U").tolist())
    if "cameras" in values:
        own = array(path, values, "cameras", (len(cameras),), "U").tolist()
        if missing := [name for name in cameras.names if name not in own]:
            raise InputError(f"{path}: 'cameras' lacks {', '.join(missing)} of the calibration")
        rows = rows[:, [own.index(name) for name in cameras.names]]
    rate = next((values[key] for key in RATES if key in values), None)
    if rate is not None and (rate.size != 1 or rate.dtype.kind not in "fiu" or not rate.item() > 0):
        raise InputError(f"{path}: the frame rate is {rate!r}; expected one number above 0")
    return _checked(path, names, rows, None if rate is None else float(rate.item()))


def _checked(
    path: Path, names: tuple[str, ...], rows: np.ndarray, rate_hz: float | None
) -> Detections:
    confidence = np.where(np.isfinite(rows).all(3), rows[..., 2], 0).clip(min=0)
    # detectors write zeros for what they did not see
    confidence[(rows[..., :2] == 0).all(3)] = 0
    if confidence.max(initial=0) > 2:  # COCO's annotations go to 2
        raise InputError(f"{path}: a confidence is {confidence.max():g}; expected 0 to 1")
    if not confidence.any():
        raise InputError(f"{path}: no joint is seen; all confidences are 0 or NaN")
    pixels = np.where(confidence[..., None] > 0, rows[..., :2], 0)
    return Detections(names, pixels, confidence.clip(max=1), rate_hz)
