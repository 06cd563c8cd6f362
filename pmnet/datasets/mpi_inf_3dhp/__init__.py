"""MPI-INF-3DHP: SPIN's npz with fits from several sources, or the authors' annotations.

Layout "spin": mpi_inf_3dhp_train.npz, which has `pose` and `shape` from multi-view fits, and
mpi_inf_3dhp_valid.npz or _test.npz, which have none. Fits in other files belong to the rows by position.
Layouts "raw_train" and "raw_test": see `raw.py`. All skeletons of `univ_annot3` have one size; SPIN trains
on `annot3` and tests on `univ_annot3` (SPIN#80).
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from annotated_types import MinLen

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.core.ranges import Count
from pmnet.data.samples import Samples
from pmnet.datasets._shared.discovery import Found, image_root, matching, npz_texts
from pmnet.datasets._shared.fits import FitSource, Reject, with_fits
from pmnet.datasets._shared.rows import annotation_file, to_samples
from pmnet.datasets._shared.spin import is_spin, read_spin
from pmnet.datasets.mpi_inf_3dhp.raw import TEST_SET, read_test, read_train
from pmnet.formats.npz import npz_keys

PUBLISHED: Final = {"train": 96_507, "test": 2_929}  # SPIN#84, hmr#45
NAME: Final = re.compile(r"(?:.*/)?(?:(S\d+)/(Seq\d+)|(TS\d+))/.+\.\w+")
NPZ: Final = {"mpi_inf_3dhp_train.npz": "train", "mpi_inf_3dhp_valid.npz": "test"} | {
    "mpi_inf_3dhp_test.npz": "test"
}
FITS: Final = {
    "mpi-inf-3dhp_mview_fits.npz": "multiview",
    "mpi_inf_3dhp.npz": "spin",
    "mpi-inf-3dhp_fits.npy": "static",
}


@dataclass(frozen=True)
class Options:
    """Which files and rows are taken.

    `file` is the npz in the folder `source` (null: the source is the npz); image names are relative to
    `images`; each row takes the first valid one of `fits` (null: the fits in the npz, if any). In the raw
    layouts `annotation` names the 3D joints (null in layout spin); raw_train takes every `every`-th frame,
    by frame number (SPIN: 10).
    """

    layout: Literal["spin", "raw_train", "raw_test"]
    file: Path | None
    images: Path
    fits: Annotated[list[FitSource], MinLen(1)] | None
    reject: Reject
    annotation: Literal["annot3", "univ_annot3"] | None
    every: Count


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the wanted rows; raises InputError naming the file and the key or row at fault."""
    if options.layout == "spin":
        return _read_npz(name, source, options, body)
    if options.annotation is None:
        raise InputError(
            f"{source}: layout {options.layout} needs options.annotation, annot3 or univ_annot3"
        )
    if options.fits is not None:
        raise InputError(
            f"{source}: fits belong to the rows of SPIN's npz; set options.fits to null, or take "
            "layout spin"
        )
    if options.layout == "raw_train":
        rows, counts = read_train(source, options.images, options.annotation, options.every)
    else:
        rows, counts = read_test(source, options.images, options.annotation)
    return to_samples(name, rows, source, options.images, body, "j17", dict(counts))


def _read_npz(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    folder, file = annotation_file(source, options.file)
    rows = read_spin(file)
    rows.subject, rows.sequence = read_names(file, rows.image_name)
    counts = dict[str, int]()
    if options.fits is not None:
        rows, counts = with_fits(rows, options.fits, options.reject, folder, file, body)
    return to_samples(name, rows, file, options.images, body, "j17", counts)


def read_names(file: Path, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the subject and the clip of each image; all cameras of a recording are one clip."""
    subjects, clips = [], []
    for row, name in enumerate(map(str, names)):
        match = NAME.fullmatch(name)
        if match is None:
            raise InputError(
                f"{file}: image {name!r} of row {row} is not named as MPI-INF-3DHP's images are, such as "
                "S1/Seq1/imageFrames/video_0/frame_000001.jpg; the name tells the clip"
            )
        subject, sequence, tested = match.groups()
        subjects.append(subject or tested)
        clips.append(f"{subject}/{sequence}" if subject else tested)
    return np.array(subjects, str), np.array(clips, str)


def find(root: Path) -> list[Found]:
    """Return the npz files and the annotations of MPI-INF-3DHP below `root`."""
    found = []
    for path in matching(root, "mpi_inf_3dhp_*.npz"):
        keys = npz_keys(path)
        if path.name in NPZ and "imgname" in keys and is_spin(keys):
            found.append(_found_npz(path, root))
    train = {path.parent.parent.parent for path in matching(root, "S*/Seq*/annot.mat")}
    test = {path.parent.parent for path in matching(root, "TS*/annot_data.mat")}
    for folder in sorted(train):
        options = _options("raw_train", folder, "annot3", 10)
        found.append(Found("mpi_inf_3dhp", "annot.mat", folder, "train", options))
    for folder in sorted(test):
        # where the folder has its usual name, images are named as in SPIN's npz
        images = folder.parent if folder.name == TEST_SET else folder
        options = _options("raw_test", images, "univ_annot3", 1)
        published = PUBLISHED["test"]
        found.append(Found("mpi_inf_3dhp", "annot_data.mat", folder, "test", options, published))
    return found


def _found_npz(path: Path, root: Path) -> Found:
    split: Literal["train", "test"] = "train" if NPZ[path.name] == "train" else "test"
    options = _options("spin", image_root(npz_texts(path, "imgname"), path.parent, root), None, 1)
    own = "pose" in npz_keys(path)
    beside = [
        (fit, kind)
        for name, kind in FITS.items()
        for fit in matching(root, name)[:1]
        if split == "train" and not (own and kind == "multiview")  # the npz has these already
    ]
    source = path
    if beside:
        source = Path(os.path.commonpath([path.parent, *(fit.parent for fit, _ in beside)]))
        options["file"] = str(path.relative_to(source))
        options["fits"] = [{"kind": "own", "file": None}] if own else []
        options["fits"] += [
            {"kind": kind, "file": str(fit.relative_to(source))} for fit, kind in beside
        ]
    layout = "SPIN's npz and fits" if beside else "SPIN's npz"
    return Found("mpi_inf_3dhp", layout, source, split, options, PUBLISHED[split])


def _options(layout: str, images: Path, annotation: str | None, every: int) -> dict[str, Any]:
    return {
        "layout": layout,
        "file": None,
        "images": str(images),
        "fits": None,
        "reject": {"max_beta": 3.0, "drops": "betas", "max_reprojection": 0.0},
        "annotation": annotation,
        "every": every,
    }
