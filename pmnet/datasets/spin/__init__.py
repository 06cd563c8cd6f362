"""Any npz in SPIN's layout, whatever its name: coco-full-eft.npz, agora_train.npz, a file of one's own.

The files of SPIN's own release belong to the adapters of their data sets, which know their clips and fits.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pmnet.body import BodyModel
from pmnet.data.samples import Samples
from pmnet.datasets._shared.discovery import Found, files_below, image_root, npz_texts
from pmnet.datasets._shared.rows import to_samples
from pmnet.datasets._shared.spin import REQUIRED, is_spin, read_spin
from pmnet.formats.npz import npz_keys

LABELS: Final = {
    "part",
    "openpose",
    "S",
    "pose",
    "shape",
}  # one of them tells SPIN's layout from others


@dataclass(frozen=True)
class Options:
    """The folder that image names are relative to, and the joints of MPJPE."""

    images: Path
    measured: Literal["j14", "j17"]


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the rows of the npz `source`; raises InputError naming the key or row at fault."""
    return to_samples(name, read_spin(source), source, options.images, body, options.measured)


def find(root: Path) -> list[Found]:
    """Return the npz below `root` with SPIN's keys; `pmnet check` drops those that another adapter knows."""
    found = []
    for path in files_below(root, ".npz"):
        keys = npz_keys(path)
        if set(REQUIRED) <= keys and LABELS & keys and is_spin(keys):
            images = image_root(npz_texts(path, "imgname"), path.parent, root)
            options = {"images": str(images), "measured": "j14"}
            is_test = any(word in path.stem for word in ("test", "val"))
            split: Literal["train", "test"] = "test" if is_test else "train"
            found.append(Found("spin", "SPIN's npz under another name", path, split, options))
    return found
