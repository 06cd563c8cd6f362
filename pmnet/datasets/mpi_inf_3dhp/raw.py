"""The authors' annotations of MPI-INF-3DHP: 2D in px, 3D in mm in the camera frame.

Training: S1/Seq1/annot.mat (MATLAB v5), for each of 14 cameras `annot2` (T, 56) and `annot3` or
`univ_annot3` (T, 84); images extracted from the videos as S1/Seq1/imageFrames/video_0/frame_000001.jpg. An
image belongs to the annotation with its number, whatever its place in the folder. Test: TS1/annot_data.mat
(HDF5), `annot2` (T, 1, 17, 2), `annot3` and `univ_annot3` (T, 1, 17, 3), `valid_frame` (T, 1).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.datasets._shared.rows import Rows, concatenated, to_j24
from pmnet.datasets._shared.units import box_around, from_mm
from pmnet.formats.arrays import array, finite, same_length
from pmnet.formats.matlab import cells, read_mat5, read_mat73

# the 17 joints of the test set; its head and top of the head are jaw and head of Human3.6M
MPI17: Final = (
    *("head", "neck", "right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle", "pelvis", "spine", "jaw"),
)
# the 28 joints of the training set, of which 17 are used
MPI28: Final = tuple(
    {
        3: "spine",
        4: "pelvis",
        5: "neck",
        6: "jaw",
        7: "head",
        9: "left_shoulder",
        10: "left_elbow",
        11: "left_wrist",
        14: "right_shoulder",
        15: "right_elbow",
        16: "right_wrist",
        18: "left_hip",
        19: "left_knee",
        20: "left_ankle",
        23: "right_hip",
        24: "right_knee",
        25: "right_ankle",
    }.get(joint)
    for joint in range(28)
)


CAMERAS: Final = 14
VIDEOS: Final = (0, 1, 2, 4, 5, 6, 7, 8)  # cameras at the height of a person, as in SPIN
TRAIN_PX: Final = (2048, 2048)
TEST_PX: Final = {"TS5": (1920, 1080), "TS6": (1920, 1080)}  # the others as in training
TEST_SET: Final = "mpi_inf_3dhp_test_set"
USED: Final = [index for index, joint in enumerate(MPI28) if joint is not None]
NUMBER: Final = re.compile(r"(\d+)$")


@dataclass
class Part:
    """The joints in one camera's clip: image names, (N, J, 2) px, (N, J, 3) m."""

    image_name: list[str]
    px: np.ndarray
    metres: np.ndarray


def read_train(
    source: Path, images: Path, annotation: str, every: int
) -> tuple[Rows, Counter[str]]:
    """Return every `every`-th frame of S*/Seq*/annot.mat, by frame number, and counts of dropped frames.

    Where images are extracted, only frames with an image are taken. Raises InputError naming the file
    and the key or the image at fault.
    """
    files = sorted(source.glob("S*/Seq*/annot.mat"))
    if not files:
        raise InputError(f"{source}: no S*/Seq*/annot.mat below it")
    extracted = any(images.glob("S*/Seq*/imageFrames"))
    parts, counts = [], Counter[str]()
    for file in track(files, "reading annotations"):
        values = read_mat5(file, ("annot2", annotation))
        clip = file.parent.relative_to(source)
        for video in VIDEOS:
            folder = clip / "imageFrames" / f"video_{video}"
            listed = list_images(images / folder) if extracted else None
            part = _video(file, values, annotation, video, every, folder, listed, counts)
            joints = [MPI28[index] for index in USED]
            names = (clip.parts[0], clip.as_posix())
            parts.append(_rows(part, joints, TRAIN_PX, *names, counts))
    return _cat(source, parts, counts), counts


def _video(
    file: Path,
    values: dict[str, Any],
    annotation: str,
    video: int,
    every: int,
    folder: Path,
    listed: dict[int, str] | None,
    counts: Counter[str],
) -> Part:
    """Return the wanted frames of one camera; `listed` are its image names by frame number."""
    arrays = {}
    for key, width in (("annot2", 56), (annotation, 84)):
        name = f"{key} of camera {video}"
        cell = {name: cells(file, values, key, CAMERAS)[video]}
        arrays[name] = array(file, cell, name, (None, width))
    n = same_length(file, arrays)
    frames = np.arange(0, n, every)
    counts["frames"] += n
    counts[f"dropped: not every {every}th frame"] += n - len(frames)
    if listed is None:
        names = [f"frame_{frame + 1:06d}.jpg" for frame in frames.tolist()]
    else:
        counts["images beyond the annotations"] += sum(number > n for number in listed)
        there = np.array([frame + 1 in listed for frame in frames.tolist()], bool)
        counts["dropped: no image"] += int((~there).sum())
        frames = frames[there]
        names = [listed[frame + 1] for frame in frames.tolist()]
    (key2, joints2), (key3, joints3) = arrays.items()
    return Part(
        [(folder / name).as_posix() for name in names],
        finite(file, key2, joints2[frames].reshape(-1, 28, 2)[:, USED]),
        from_mm(file, key3, joints3[frames].reshape(-1, 28, 3)[:, USED]),
    )


def list_images(folder: Path) -> dict[int, str]:
    """Return the names of the images in a folder by the number at their end.

    Raises InputError where two images have one number, or where numbers start from 0: annotations are
    numbered from 1, as ffmpeg and SPIN number images.
    """
    names: dict[int, str] = {}
    for path in sorted(folder.glob("*")):
        match = NUMBER.search(path.stem)
        if match is None or path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            continue
        number = int(match[1])
        if number in names:
            raise InputError(
                f"{folder}: {names[number]} and {path.name} have the same number; keep one"
            )
        names[number] = path.name
    if 0 in names:
        raise InputError(
            f"{folder}: images are numbered from 0 ({names[0]}); expected numbers from 1, as ffmpeg gives: "
            "extract them anew, else each image gets the annotation of the next"
        )
    return names


def read_test(source: Path, images: Path, annotation: str) -> tuple[Rows, Counter[str]]:
    """Return the valid frames of TS*/annot_data.mat, and counts of dropped frames."""
    files = sorted(source.glob("TS*/annot_data.mat"))
    if not files:
        raise InputError(
            f"{source}: no TS1/annot_data.mat in it; the source is the folder {TEST_SET}"
        )
    parts, counts = [], Counter[str]()
    for file in track(files, "reading annotations"):
        subject = file.parent.name
        folder = file.parent / "imageSequence"
        below = folder.is_relative_to(images)
        folder = folder.relative_to(images) if below else Path(TEST_SET, subject, folder.name)
        part = _test_clip(file, annotation, folder, counts)
        parts.append(_rows(part, MPI17, TEST_PX.get(subject, TRAIN_PX), subject, subject, counts))
    return _cat(source, parts, counts), counts


def _test_clip(file: Path, annotation: str, folder: Path, counts: Counter[str]) -> Part:
    values = read_mat73(file, ("annot2", annotation, "valid_frame"))
    arrays = {
        "annot2": array(file, values, "annot2", (None, 1, 17, 2)),
        annotation: array(file, values, annotation, (None, 1, 17, 3)),
        "valid_frame": array(file, values, "valid_frame", (None, 1)),
    }
    counts["frames"] += same_length(file, arrays)
    valid = arrays["valid_frame"][:, 0] > 0
    counts["dropped: frame not valid"] += int((~valid).sum())
    numbers = np.flatnonzero(valid) + 1
    return Part(
        [(folder / f"img_{number:06d}.jpg").as_posix() for number in numbers.tolist()],
        finite(file, "annot2", arrays["annot2"][valid, 0]),
        from_mm(file, annotation, arrays[annotation][valid, 0]),
    )


def _rows(
    part: Part,
    joints: Sequence[str | None],
    size_px: tuple[int, int],
    subject: str,
    sequence: str,
    counts: Counter[str],
) -> Rows:
    """Return the rows that have all joints in the image, as SPIN does."""
    inside = ((part.px >= 0) & (part.px < size_px)).all((1, 2))
    counts["dropped: a joint outside of the image"] += int((~inside).sum())
    px, metres = part.px[inside], part.metres[inside]
    sure = np.ones((len(px), len(joints), 1))
    center, scale = box_around(px, sure[..., 0] > 0)
    return Rows(
        image_name=np.array(part.image_name, str)[inside],
        center=center,
        scale=scale,
        keypoints_2d=to_j24(np.concatenate([px, sure], 2), joints),
        keypoints_3d=to_j24(np.concatenate([metres, sure], 2), joints),
        subject=np.full(len(px), subject),
        sequence=np.full(len(px), sequence),
    )


def _cat(source: Path, parts: list[Rows], counts: Counter[str]) -> Rows:
    rows = concatenated(parts)
    if not len(rows):
        raise InputError(
            f"{source}: no row is left; {dict(counts)}; check options.every and that image names "
            "end in the number of their frame, from 1"
        )
    return rows
