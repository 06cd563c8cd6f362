"""Human3.6M, in the formats in which it is still shared.

Layout "spin": h36m_train.npz, PyMAF's h36m_mosh_train.npz and h36m_mosh_valid_p2.npz, SPIN's
h36m_valid_protocol2.npz. The last has no bodies; MoSh's pickles add them, joined by image name. Layout
"neuralannot": the json files of NeuralAnnot and I2L-MeshNet. Protocol 2 is camera 60457274 of S9 and S11;
every 5th frame in SPIN, every 64th in I2L-MeshNet.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.core.ranges import Count, Names, Weight
from pmnet.data.samples import Samples
from pmnet.datasets._shared.discovery import ALIGNED, Found, image_root, matching, npz_texts
from pmnet.datasets._shared.rows import Rows, annotation_file, to_samples
from pmnet.datasets._shared.spin import is_spin, read_spin
from pmnet.datasets.h36m.mosh import with_mosh
from pmnet.datasets.h36m.names import CAMERAS, keep, read_names
from pmnet.datasets.h36m.neuralannot import read_neuralannot, subjects_in
from pmnet.formats.npz import npz_keys

TEST_SUBJECTS: Final = ("S9", "S11")
FRONTAL: Final = CAMERAS[3]
NPZ: Final = re.compile(r"h36m_.*\.npz")
MAX_FIT_ERROR_MM: Final = 25.0  # I2L-MeshNet


@dataclass(frozen=True)
class Options:
    """Which files and rows are taken.

    `file` is the npz in the folder `source` (null: the source is the npz); `mosh` is the folder
    neutrSMPL_H3.6, relative to `source` (null: none); image names are relative to `images`. `subjects`
    (S1) and `cameras` (60457274) are the ones to keep (null: all); every `every`-th frame of the video is
    taken, by frame number; fits of NeuralAnnot with a larger error than `max_fit_error_mm` are dropped
    (0: none).
    """

    layout: Literal["spin", "neuralannot"]
    file: Path | None
    mosh: Path | None
    images: Path
    subjects: Names | None
    cameras: Names | None
    every: Count
    max_fit_error_mm: Weight


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the wanted rows; raises InputError naming the file and the key or row at fault."""
    if options.layout == "spin":
        folder, file = annotation_file(source, options.file)
        rows, counts = _read_npz(folder, file, options)
        return to_samples(name, rows, file, options.images, body, "j14", counts)
    if options.mosh is not None or options.file is not None:
        raise InputError(
            f"{source}: layout neuralannot has its own bodies and file names; set options.mosh and "
            "options.file to null"
        )
    rows, counts = read_neuralannot(
        source,
        options.subjects,
        _camera_numbers(source, options.cameras),
        options.every,
        options.max_fit_error_mm,
        body,
    )
    return to_samples(name, rows, source, options.images, body, "j14", counts)


def _read_npz(folder: Path, file: Path, options: Options) -> tuple[Rows, dict[str, int]]:
    rows = read_spin(file)
    shots = read_names(file, rows.image_name)
    rows.subject, rows.sequence = shots.subject, shots.sequence()
    counts = {"images": len(rows)}
    rows, shots, dropped = keep(file, rows, shots, options.subjects, options.cameras, options.every)
    counts |= dropped
    if options.mosh is not None:
        rows, joined = with_mosh(rows, shots, folder / options.mosh)
        counts |= joined
    return rows, counts


def _camera_numbers(source: Path, cameras: list[str] | None) -> list[int]:
    if strangers := set(cameras or ()) - set(CAMERAS):
        raise InputError(
            f"{source}: options.cameras: {', '.join(sorted(strangers))} is not one of {', '.join(CAMERAS)}"
        )
    return [number for number, camera in enumerate(CAMERAS) if cameras is None or camera in cameras]


def find(root: Path) -> list[Found]:
    """Return the npz files and folders of json files of Human3.6M below `root`."""
    aligned = [path for path in matching(root, "*_aligned.pkl") if ALIGNED.fullmatch(path.stem)]
    mosh = aligned[0].parent.parent if aligned else None
    npz = [path for path in matching(root, "h36m_*.npz") if NPZ.fullmatch(path.name)]
    found = [entry for path in npz for entry in _found_npz(path, mosh, root)]
    folders = {path.parent for path in matching(root, "Human36M_subject*_data.json")}
    return found + [entry for folder in sorted(folders) for entry in _found_json(folder, root)]


def _found_npz(path: Path, mosh: Path | None, root: Path) -> list[Found]:
    keys = npz_keys(path)
    if "imgname" not in keys or not is_spin(keys):
        return []
    options = _options("spin", image_root(npz_texts(path, "imgname"), path.parent, root))
    source, layout = path, "SPIN's npz"
    if "pose" not in keys:
        layout += " without bodies"
        if mosh is not None:
            source = Path(os.path.commonpath([path.parent, mosh]))
            options["file"] = str(path.relative_to(source))
            options["mosh"] = str(mosh.relative_to(source))
            layout = "SPIN's npz and MoSh"
    split: Literal["train", "test"] = "test" if "valid" in path.name else "train"
    return [Found("h36m", layout, source, split, options)]


def _found_json(folder: Path, root: Path) -> list[Found]:
    here = list(subjects_in(folder))
    splits: dict[Literal["train", "test"], list[str]] = {
        "train": [subject for subject in here if subject not in TEST_SUBJECTS],
        "test": [subject for subject in here if subject in TEST_SUBJECTS],
    }
    images = _json_images(folder, root)
    found = []
    for split, subjects in splits.items():
        if subjects:
            options = _options("neuralannot", images)
            options |= {"subjects": subjects, "every": 5, "max_fit_error_mm": MAX_FIT_ERROR_MM}
            if split == "test":
                options["cameras"] = [FRONTAL]
            found.append(Found("h36m", "NeuralAnnot's json files", folder, split, options))
    return found


def _json_images(folder: Path, root: Path) -> Path:
    """Return the folder of the images, by its name: the json files are too large to be opened here."""
    clips = matching(root, "s_*_act_*_subact_*_ca_*")
    return next((clip.parent for clip in clips if clip.is_dir()), folder)


def _options(layout: str, images: Path) -> dict[str, Any]:
    return {
        "layout": layout,
        "file": None,
        "mosh": None,
        "images": str(images),
        "subjects": None,
        "cameras": None,
        "every": 1,
        "max_fit_error_mm": 0.0,
    }
