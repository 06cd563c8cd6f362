"""The `joints.mat` of LSP and LSP extended: 14 joints in the order of J24, each x, y (px) and a flag.

LSP's array is (3, 14, N), and its flag is 0 for a visible joint; the array of LSP extended is (14, 3, N),
and its flag is 1 for a visible joint. SPIN takes all joints, visible or not, and the box around them.
"""

from pathlib import Path
from typing import Final, Literal

import numpy as np

from pmnet.body.keypoints import LIMBS
from pmnet.core.errors import InputError
from pmnet.datasets._shared.rows import Rows, to_j24
from pmnet.datasets._shared.units import box_around, check_scale
from pmnet.formats.arrays import array
from pmnet.formats.matlab import read_mat5

LSP14: Final = (*LIMBS, "neck", "head_top")
Layout = Literal["lsp", "lspet"]
Taken = Literal["visible", "all"]
AXES: Final = {"lsp": (2, 1, 0), "lspet": (2, 0, 1)}  # to (N, 14, 3)
SHAPES: Final[dict[Layout, tuple[int | None, ...]]] = {
    "lsp": (3, 14, None),
    "lspet": (14, 3, None),
}
VISIBLE: Final = {"lsp": 0, "lspet": 1}
MIN_SEEN: Final = 2  # joints that make a box


def read_joints(path: Path, layout: Layout) -> np.ndarray:
    """Return (N, 14, 3): x, y (px), 1 where visible; raises InputError naming what is wrong."""
    values = read_mat5(path, ("joints",))
    joints = array(path, values, "joints", SHAPES[layout]).transpose(AXES[layout]).copy()
    flags = joints[..., 2]
    wrong = ~np.isin(flags, (0, 1)).all(1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: 'joints' of image {row + 1} has flags {np.unique(flags[row])}; expected 0 and 1 "
            "as the third number of each joint"
        )
    joints[..., 2] = flags == VISIBLE[layout]
    return joints


def rows_of_joints(
    path: Path, joints: np.ndarray, names: np.ndarray, taken: Taken
) -> tuple[Rows, dict[str, int]]:
    """Return the rows of (N, 14, 3) joints and the counts of dropped images.

    The box is a fifth wider than the joints that are `taken`.
    """
    seen = joints[..., 2] > 0 if taken == "visible" else np.ones(joints.shape[:2], bool)
    bad = (~np.isfinite(joints).all(2) & seen).any(1)
    if bad.any():
        raise InputError(
            f"{path}: 'joints' of image {int(bad.argmax()) + 1} is NaN or infinite, as are "
            f"{int(bad.sum())}; mark these joints as not visible"
        )
    kept = seen.sum(1) >= MIN_SEEN
    points = np.concatenate([joints[..., :2], seen[..., None]], 2)[kept]
    center, scale = box_around(points[..., :2], points[..., 2] > 0)
    check_scale(path, "joints", scale)
    rows = Rows(names[kept], center, scale, keypoints_2d=to_j24(points, LSP14))
    return rows, {f"rejected: fewer than {MIN_SEEN} joints": int((~kept).sum())}


def layout_of(path: Path) -> Layout | None:
    """Return which data set a joints.mat belongs to by the shape of its array; None where to neither."""
    try:
        shape = np.shape(read_mat5(path, ("joints",)).get("joints", ()))
    except InputError:
        return None
    return next((name for name, expected in SHAPES.items() if shape[:2] == expected[:2]), None)
