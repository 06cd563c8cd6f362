"""The `joints.mat` of LSP and LSP extended: 14 joints in the order of J24, px, and a flag.

LSP is (3, 14, N) and its flag is 0 where a joint is visible; LSP extended is (14, 3, N) and its flag is
1 there. SPIN takes all joints, and the box around all.
"""

from pathlib import Path
from typing import Final, Literal

import numpy as np
import scipy.io

from pmnet.core.errors import InputError
from pmnet.datasets._shared.boxes import box_around
from pmnet.datasets._shared.joint_maps import LSP14, to_j24
from pmnet.datasets._shared.rows import Rows
from pmnet.datasets._shared.spin import check_scale
from pmnet.formats.arrays import array

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
    """Return (N, 14, 3): px and 1 where visible; raises InputError naming what is wrong."""
    try:
        values = scipy.io.loadmat(path, variable_names=["joints"], appendmat=False)
    except Exception as error:  # bytes that are no such file fail in a dozen ways
        raise InputError(
            f"{path}: not a readable MATLAB file ({error}); copy or download it anew"
        ) from None
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
    """Return rows of (N, 14, 3) joints, the box a fifth wider than those taken; and what was dropped."""
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
    """Return whose file a joints.mat is by the shape of its array; None where it is neither's."""
    try:
        shapes = {name: shape for name, shape, _ in scipy.io.whosmat(path, appendmat=False)}
    except Exception:  # as above
        return None
    found = shapes.get("joints", ())
    return next((name for name, shape in SHAPES.items() if found[:2] == shape[:2]), None)
