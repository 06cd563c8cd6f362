"""Leeds Sports Pose extended: SPIN's `hr-lspet_train.npz`, or the `joints.mat` of hr-lspet.

Raw layout: `joints` (14, 3, N), where 1 in the third column means visible. The file does not name its
images: they are the images in options.images, sorted by name, one per person.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
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
    adapter="lsp_extended",
    spin={"hr-lspet_train.npz": "train"},
    spin_fits="lspet.npz",
    static_fits="lspet_fits.npy",
    eft=("LSPet_ver*.json",),
)


@dataclass(frozen=True)
class Options(WildOptions):
    """See WildOptions; `joints` are the visible ones or, as in SPIN, all (raw layout)."""

    joints: Taken


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the persons of LSP extended; raises InputError naming the file or image at fault."""
    return read_wild(name, source, options, body, lambda path: read_raw(path, options))


def read_raw(path: Path, options: Options) -> tuple[Rows, dict[str, int]]:
    """Return the persons of a joints.mat, in the order of the file."""
    joints = read_joints(path, "lspet")
    names = _images(options.images)
    if len(names) != len(joints):
        raise InputError(
            f"{path}: 'joints' is of {len(joints)} images, but {options.images} has {len(names)} named "
            "im*.png or im*.jpg; they belong together by position, so set options.images to the folder "
            "of all images of one release"
        )
    return rows_of_joints(path, joints, np.array(names, str), options.joints)


def find(root: Path) -> list[Found]:
    """Return what is recognised below `root`: SPIN's npz and the joints.mat of hr-lspet."""
    files = annotation_files(root)
    extra = {"joints": "all"}
    found = find_spin(root, files, RELEASE, extra)
    for path in files:
        if path.name == "joints.mat" and layout_of(path) == "lspet":
            names = ["im00001.png", "im00001.jpg"]
            found.append(wild_entry(root, files, RELEASE, "raw", path, names, "train", extra))
    return found


def _images(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("im*") if path.suffix in (".png", ".jpg"))
