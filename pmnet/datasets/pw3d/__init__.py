"""3DPW: people in the wild with SMPL poses from inertial sensors.

Layout "sequences": a folder `sequenceFiles/SPLIT` with one pickle per sequence. Lists over its one or two
people: `poses` (T, 72) and `betas` of the person's gender in the world, `genders`, `poses2d` (T, 3, 18)
px of OpenPose's 18 joints with confidence, `campose_valid` (T,); and `cam_poses` (T, 4, 4) from the world
to the camera, `sequence`. `poses` have 30 Hz and one row per image: row t belongs to image t.
(`img_frame_ids` are indices of the 60 Hz poses, not of images.) Frames are kept where the camera is valid.
Layout "spin": one npz of SPIN, as 3dpw_test.npz.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.data.samples import Samples
from pmnet.datasets._shared.discovery import Found, files_below, image_root, npz_texts
from pmnet.datasets._shared.rows import Rows, to_j24, to_samples
from pmnet.datasets._shared.spin import read_spin
from pmnet.datasets._shared.units import GENDERS, box_around, check_confidence
from pmnet.formats.arrays import array, finite, same_length
from pmnet.formats.kinds import is_damaged
from pmnet.formats.npz import npz_keys
from pmnet.formats.pickles import read_pickle

# OpenPose's 18 joints: `poses2d`
COCO18: Final = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear"),
)


SPLITS: Final = {"train": "train", "validation": "test", "test": "test"}
SPIN_TEST_ROWS: Final = 35_515  # of SPIN's 3dpw_test.npz
LISTS: Final = ("poses", "betas", "genders", "poses2d", "campose_valid")
MARKS: Final = (b"poses2d", b"campose_valid")
NO_CAMERA: Final = "dropped: the camera is not valid"
NO_JOINT: Final = "dropped: no joint is visible"


@dataclass(frozen=True)
class Options:
    """The layout of the source, and the folder above `imageFiles`."""

    layout: Literal["sequences", "spin"]
    images: Path


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the people of one split; raises InputError naming the file and the key at fault."""
    if options.layout == "spin":
        rows, counts = read_spin(source), Counter[str]()
        rows.sequence = [Path(image).parent.name for image in np.asarray(rows.image_name).tolist()]
    else:
        rows, counts = read_sequences(source, name)
    return to_samples(name, rows, source, options.images, body, "j14", counts)


def read_sequences(folder: Path, name: str) -> tuple[Rows, Counter[str]]:
    """Return the rows of all pickles in a folder and counts of dropped frames, by rule."""
    paths = _sequences(folder)
    if not paths:
        raise InputError(
            f"{folder}: no .pkl of 3DPW in it; give the folder of one split, "
            "sequenceFiles/train, validation or test"
        )
    counts = Counter({NO_CAMERA: 0, NO_JOINT: 0})
    people = [
        person
        for path in track(paths, f"{name}: reading sequences")
        for person in read_sequence(path, counts)
    ]
    columns: dict[str, Any] = {
        key: np.concatenate([getattr(person, key) for person in people]) for key in vars(people[0])
        if getattr(people[0], key) is not None
    }  # fmt: skip
    if not len(columns["scale"]):
        raise InputError(
            f"{folder}: no frame of its {len(paths)} sequences is usable: {dict(counts)}"
        )
    return Rows(**columns), counts


def _sequences(source: Path) -> list[Path]:
    """Return the pickles of 3DPW in a folder, and damaged ones, which reading then names."""
    if source.is_file():
        return [source]
    paths = sorted(path for path in source.glob("*.pkl") if not path.name.startswith("."))
    return [path for path in paths if is_sequence(path) or is_damaged(path)]


def is_sequence(path: Path) -> bool:
    """Return whether a pickle has the keys of 3DPW."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return all(mark in content for mark in MARKS)


def read_sequence(path: Path, counts: Counter[str]) -> list[Rows]:
    """Return the rows of each person of a sequence; adds to `counts`."""
    values: dict[str, Any] = read_pickle(path)
    for key in LISTS:
        if not isinstance(values.get(key), list):
            raise InputError(
                f"{path}: {key!r} must be a list with one entry per person, as in 3DPW's files"
            )
    if not isinstance(values.get("sequence"), str):
        raise InputError(f"{path}: 'sequence' must be the name of the sequence, as in 3DPW's files")
    same_length(path, {key: values[key] for key in LISTS})
    if not values["poses"]:
        raise InputError(f"{path}: 'poses' is empty; expected one or two people")
    cameras = array(path, values, "cam_poses", (None, 4, 4))
    count = range(len(values["poses"]))
    return [_person(path, values, person, cameras, counts) for person in count]


def _person(
    path: Path, values: dict[str, Any], person: int, cameras: np.ndarray, counts: Counter[str]
) -> Rows:
    of_person = {f"{key}[{person}]": values[key][person] for key in LISTS}
    poses = array(path, of_person, f"poses[{person}]", (None, 72))
    valid = array(path, of_person, f"campose_valid[{person}]", (None,)) > 0
    seen = array(path, of_person, f"poses2d[{person}]", (None, 3, 18)).transpose(0, 2, 1)
    check_confidence(path, f"poses2d[{person}]", seen)
    same_length(path, {f"poses[{person}]": poses, "campose_valid": valid, "poses2d": seen,
                       "cam_poses": cameras})  # fmt: skip
    visible = (seen[..., 2] > 0).any(1)
    counts[NO_CAMERA] += int((~valid).sum())
    counts[NO_JOINT] += int((valid & ~visible).sum())
    kept = valid & visible
    finite(path, f"poses[{person}]", poses, kept)
    finite(path, "cam_poses", cameras, kept)
    poses, n = poses[kept], int(kept.sum())
    turn = _rotation(path, cameras[:, :3, :3], kept)
    root = turn * Rotation.from_rotvec(poses[:, :3])
    center, scale = box_around(seen[kept, :, :2], seen[kept, :, 2] > 0)
    sequence = values["sequence"]
    return Rows(
        image_name=[f"imageFiles/{sequence}/image_{t:05d}.jpg" for t in np.flatnonzero(kept)],
        center=center,
        scale=scale,
        poses=np.concatenate([root.as_rotvec(), poses[:, 3:]], 1),
        betas=np.repeat(_betas(path, of_person, f"betas[{person}]")[None], n, axis=0),
        keypoints_2d=to_j24(seen[kept], COCO18),
        subject=[f"{sequence}/{person}"] * n,
        gender=[_gender(path, of_person, f"genders[{person}]")] * n,
        sequence=[str(sequence)] * n,
    )


def _rotation(path: Path, matrices: np.ndarray, kept: np.ndarray) -> Rotation:
    away = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    wrong = kept & ((away > 0.01) | (np.linalg.det(matrices) < 0))
    if wrong.any():
        raise InputError(
            f"{path}: 'cam_poses' row {int(wrong.argmax())} is not a rotation ({int(wrong.sum())} of the "
            "frames used are not); the file is damaged: download it anew"
        )
    return Rotation.from_matrix(matrices[kept])


def _betas(path: Path, values: dict[str, Any], key: str) -> np.ndarray:
    betas = array(path, values, key, (None,))
    if len(betas) < 10:
        raise InputError(f"{path}: {key!r} has {len(betas)} numbers; expected 10 or more")
    return finite(path, key, betas[:10])


def _gender(path: Path, values: dict[str, Any], key: str) -> str:
    gender = GENDERS.get(str(values[key]))
    if not gender:
        raise InputError(f"{path}: {key!r} is {values[key]!r}; expected m or f")
    return gender


def find(root: Path) -> list[Found]:
    """Return the splits of 3DPW below `root`, as sequence files and as SPIN's npz."""
    found = []
    for folder in sorted({path.parent for path in files_below(root, ".pkl")}):
        paths = [path for path in files_below(root, ".pkl") if path.parent == folder]
        named = folder.parent.name == "sequenceFiles" and folder.name in SPLITS
        if named or is_sequence(paths[0]):
            names = [f"imageFiles/{paths[0].stem}/image_{t:05d}.jpg" for t in range(5)]
            near = folder.parent.parent if folder.parent.parent.is_relative_to(root) else folder
            images = image_root(names, near, root)
            found.append(_found("sequences", folder, images, SPLITS.get(folder.name, "train")))
    for path in files_below(root, ".npz"):
        if "3dpw" in path.name.lower() and {"imgname", "scale", "pose", "shape"} <= npz_keys(path):
            images = image_root(npz_texts(path, "imgname"), path.parent, root)
            found.append(_found("spin", path, images, "train" if "train" in path.name else "test"))
    return found


def _found(layout: str, source: Path, images: Path, split: Any) -> Found:
    is_test = source.name in ("test", "3dpw_test.npz")
    return Found(
        adapter="pw3d",
        layout={"sequences": "3DPW sequence files", "spin": "3DPW as SPIN's npz"}[layout],
        source=source,
        split=split,
        options={"layout": layout, "images": str(images)},
        published=SPIN_TEST_ROWS if is_test else None,
    )
