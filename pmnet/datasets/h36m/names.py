"""The image names of Human3.6M: they tell the subject, the action, the camera and the frame.

SPIN: S1_Directions_1.54138969_000001.jpg; spaces in the action become _, frames (50 Hz) count from 1.
NeuralAnnot: s_01_act_02_subact_01_ca_01_000001.jpg; cameras count from 1.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.datasets._shared.rows import Rows

# in the order of the data set; the last is the frontal camera of protocol 2 (mmhuman3d, SPIN)
CAMERAS: Final = ("54138969", "55011271", "58860488", "60457274")
SPIN: Final = re.compile(r"(?:.*/)?(S\d+)_([^/]+)\.(\d{8})_(\d+)\.\w+")
NUMBERED: Final = re.compile(r"(?:.*/)?s_(\d+)_(act_\d+_subact_\d+)_ca_0*([1-4])_(\d+)\.\w+")


@dataclass(frozen=True)
class Shots:
    """Subject, action, camera and frame (from 1, 50 Hz) of N images."""

    subject: np.ndarray
    action: np.ndarray
    camera: np.ndarray
    frame: np.ndarray

    def sequence(self) -> np.ndarray:
        """Return the clip of each image; all cameras of a recording are one clip."""
        return np.char.add(np.char.add(self.subject, "_"), self.action)

    def select(self, rows: np.ndarray) -> "Shots":
        """Return the images of an index or mask."""
        return Shots(self.subject[rows], self.action[rows], self.camera[rows], self.frame[rows])


def read_names(file: Path, names: Iterable[str]) -> Shots:
    """Parse image names; raises InputError naming the first that has another form."""
    parsed = []
    for row, name in enumerate(map(str, names)):
        if match := SPIN.fullmatch(name):
            subject, action, camera, frame = match.groups()
            if camera not in CAMERAS:
                raise InputError(
                    f"{file}: image {name!r} of row {row} is of camera {camera}; Human3.6M has "
                    f"{', '.join(CAMERAS)}"
                )
            parsed.append((subject, action, camera, int(frame)))
        elif match := NUMBERED.fullmatch(name):
            person, action, index, frame = match.groups()
            parsed.append((f"S{int(person)}", action, CAMERAS[int(index) - 1], int(frame)))
        else:
            raise InputError(
                f"{file}: image {name!r} of row {row} is not named as Human3.6M's images are, such as "
                "S1_Directions_1.54138969_000001.jpg; the name tells subject, camera and MoSh's file"
            )
    columns = list(zip(*parsed, strict=True)) or [()] * 4
    subject, action, camera = (np.array(column, dtype=str) for column in columns[:3])
    return Shots(subject, action, camera, np.array(columns[3], dtype=int))


def keep(
    file: Path,
    rows: Rows,
    shots: Shots,
    subjects: list[str] | None,
    cameras: list[str] | None,
    every: int,
) -> tuple[Rows, Shots, dict[str, int]]:
    """Return the rows of the wanted subjects, cameras and frames, and counts of dropped rows.

    Frames are thinned by their number, so all cameras and files keep the same frames.
    """
    counts = {}
    kept = np.ones(len(rows), bool)
    wanted: Mapping[str, tuple[np.ndarray, list[str] | None]] = {
        "subject": (shots.subject, subjects),
        "camera": (shots.camera, cameras),
    }
    for kind, (values, names) in wanted.items():
        if names is None:
            continue
        if missing := set(names) - set(values.tolist()):
            raise InputError(
                f"{file}: no image of {kind} {', '.join(sorted(missing))}; found are "
                f"{', '.join(sorted(set(values.tolist()))) or 'none'}"
            )
        other = kept & ~np.isin(values, names)
        counts[f"dropped: another {kind}"] = int(other.sum())
        kept &= ~other
    if every > 1:
        between = kept & ((shots.frame - 1) % every != 0)
        counts[f"dropped: not every {every}th frame"] = int(between.sum())
        kept &= ~between
    if not kept.any():
        raise InputError(f"{file}: no row is left of {len(rows)}; {counts}; widen the options")
    return rows.select(kept), shots.select(kept), counts
