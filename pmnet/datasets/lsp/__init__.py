"""Leeds Sports Pose: SPIN's `lsp_dataset_original_train.npz` and `lsp_dataset_test.npz`, or `joints.mat`.

Raw layout: `joints` (3, 14, N), where 0 in the third row means visible, for the images `im0001.jpg`,
`im0002.jpg`, ...; the first 1,000 are for training, the others for testing. The silhouettes and part labels
in `lsp_dataset_test.npz` (`maskname`, `partname`) are not used.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.data.sets import Split
from pmnet.datasets._shared.discovery import Found
from pmnet.datasets._shared.lsp import Taken, layout_of, read_joints, rows_of_joints
from pmnet.datasets._shared.rows import Rows
from pmnet.datasets._shared.wild import (
    Release,
    WildOptions,
    annotation_files,
    find_spin,
    read_wild,
    wild_entry,
)

RELEASE: Final = Release(
    adapter="lsp",
    spin={"lsp_dataset_original_train.npz": "train", "lsp_dataset_test.npz": "test"},
    spin_fits="lsp.npz",
    static_fits="lsp-orig_fits.npy",
)
TRAIN: Final = 1000  # images
PARTS: Final = {
    "train": slice(None, TRAIN),
    "test": slice(TRAIN, None),
    "all": slice(None),
}


@dataclass(frozen=True)
class Options(WildOptions):
    """See WildOptions; `part` and `joints` concern the raw layout.

    `part` is the first 1,000 images, the others, or all; `joints` are the visible ones or, as in SPIN,
    all.
    """

    part: Literal["train", "test", "all"]
    joints: Taken


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the persons of LSP; raises InputError naming the file, the key or image at fault."""
    return read_wild(name, source, options, body, lambda path: read_raw(path, options))


def read_raw(path: Path, options: Options) -> tuple[Rows, dict[str, int]]:
    """Return the persons of one part of a joints.mat, in the order of the file."""
    joints = read_joints(path, "lsp")
    names = np.array([f"im{row + 1:04d}.jpg" for row in range(len(joints))])
    part = PARTS[options.part]
    if not len(names[part]):
        raise InputError(
            f"{path}: 'joints' has {len(joints)} images, none of them in part {options.part!r}"
        )
    return rows_of_joints(path, joints[part], names[part], options.joints)


def find(root: Path) -> list[Found]:
    """Return what is recognised below `root`: SPIN's npz, and the two parts of a joints.mat."""
    files = annotation_files(root)
    found = find_spin(root, files, RELEASE, {"part": "all", "joints": "all"})
    splits: tuple[Split, ...] = ("train", "test")
    for path in files:
        if path.name == "joints.mat" and layout_of(path) == "lsp":
            found += [
                wild_entry(
                    *(root, files, RELEASE, "raw", path, ["im0001.jpg"], split),
                    extra={"part": split, "joints": "all"},
                )
                for split in splits
            ]
    return found
