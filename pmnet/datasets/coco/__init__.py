"""COCO's people with keypoints: SPIN's `coco_2014_train.npz`, or `person_keypoints_*.json` itself.

Raw layout: `images` with `id`, `file_name`; `annotations` with `image_id`, `keypoints` (17 x (x px, y
px, 0 where not labelled)) and `bbox` (x, y, width, height px). In this layout options.images is the folder
that holds the images. The person's box is `bbox`, a fifth wider (SPIN's datasets/preprocess).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pmnet.body import BodyModel
from pmnet.core.errors import InputError
from pmnet.core.files import refuse_special
from pmnet.core.ranges import Amount
from pmnet.data.samples import Samples
from pmnet.datasets._shared.discovery import Found
from pmnet.datasets._shared.rows import Rows, to_j24
from pmnet.datasets._shared.units import BOX_MARGIN, box_of_corners, check_scale
from pmnet.datasets._shared.wild import (
    Release,
    WildOptions,
    annotation_files,
    find_spin,
    read_wild,
    wild_entry,
)
from pmnet.formats.json import by_id, keys, numbers, read_json, records, texts

COCO17: Final = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)


RELEASE: Final = Release(
    adapter="coco",
    spin={"coco_2014_train.npz": "train"},
    spin_fits="coco.npz",
    static_fits="coco_fits.npy",
    eft=("COCO2014-Part-ver*.json", "COCO2014-All-ver*.json"),
)
BODY: Final = slice(COCO17.index("left_shoulder"), None)  # without the face
SPIN_MIN: Final = 12  # keypoints
PUBLISHED: Final = 28_344  # people of train2014 with all 12 body keypoints (EFT's documents)
NAMES_WITHIN: Final = 1_000_000  # bytes at the start of a file that are searched for image names


@dataclass(frozen=True)
class Options(WildOptions):
    """See WildOptions.

    In the raw layout, `min_keypoints` of the 12 body keypoints must be labelled (SPIN: 12).
    """

    min_keypoints: Amount


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the persons of COCO; raises InputError naming the file and the record at fault."""
    return read_wild(
        name, source, options, body, lambda path: read_raw(path, options.min_keypoints)
    )


def read_raw(path: Path, min_keypoints: int) -> tuple[Rows, dict[str, int]]:
    """Return the persons of a json with enough keypoints, in the order of the file."""
    content = read_json(path)
    images, persons = records(path, content, "images"), records(path, content, "annotations")
    texts(path, images, "file_name")
    by_image = by_id(path, images, "id", "images")
    keypoints = numbers(path, persons, "keypoints", (17, 3))
    keypoints[..., 2] = keypoints[..., 2] > 0
    kept = keypoints[:, BODY, 2].sum(1) >= min_keypoints
    rule = f"rejected: fewer than {min_keypoints} keypoints"
    counts = {rule: int((~kept).sum())}
    persons = [persons[row] for row in np.flatnonzero(kept)]
    center, scale = box_of_corners(numbers(path, persons, "bbox", (4,)), BOX_MARGIN)
    check_scale(path, "bbox", scale)
    image_ids = keys(path, persons, "image_id")
    if missing := [image for image in image_ids if image not in by_image]:
        raise InputError(
            f"{path}: 'image_id' {missing[0]} is not among 'images', as are {len(missing)} of "
            f"{len(image_ids)}; the file is cut short or mixed up"
        )
    rows = Rows(
        image_name=[by_image[image]["file_name"] for image in image_ids],
        center=center,
        scale=scale,
        keypoints_2d=to_j24(keypoints[kept], COCO17),
    )
    return rows, counts


def find(root: Path) -> list[Found]:
    """Return what is recognised below `root`: SPIN's npz and the training annotations of any year."""
    files = annotation_files(root)
    extra = {"min_keypoints": SPIN_MIN}
    found = find_spin(root, files, RELEASE, extra, PUBLISHED)
    for path in files:
        if re.fullmatch(r"person_keypoints_train\d*\.json", path.name):
            published = PUBLISHED if "2014" in path.name else None
            names = _first_names(path)
            found.append(
                wild_entry(
                    root, files, RELEASE, "raw", path, names, "train", extra, published=published
                )
            )
    return found


def _first_names(path: Path) -> list[str]:
    try:
        refuse_special(path)
        with path.open("rb") as file:
            head = file.read(NAMES_WITHIN).decode("utf-8", "replace")
    except (OSError, InputError):
        return []
    return re.findall(r'"file_name": ?"([^"]+)"', head)
