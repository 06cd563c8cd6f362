"""The 24 annotated joints of the field's data sets (J24 of SPIN), made from the vertices of a body.

The joints that people annotate differ from the joints of the skeleton; a regressor makes them from the
vertices, J = J V^T (section 3.1). Users have to obtain SPIN's `J_regressor_extra.npy` themselves; without
it, skeleton joints and vertices close to the annotated joints stand in. Comparisons with published numbers
need the real file (`pmnet body import --extra`).

Networks are trained on J24. MPJPE is measured on other joints: the 17 of Human3.6M, made from the vertices by
`J_regressor_h36m.npy` (`pmnet body import --h36m`), of which SPIN and PyMAF take 14 or 17.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from smplx.vertex_ids import vertex_ids

from pmnet.body.parts import JOINTS, other_side
from pmnet.core.errors import InputError
from pmnet.formats.npz import read_npy

LIMBS: Final = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
)
TRUNK: Final = ("neck", "head_top", "pelvis", "thorax", "spine", "jaw", "head")
FACE: Final = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
J24: Final = (*LIMBS, *TRUNK, *FACE)
# the joints of MPJPE: 14 on H36M and 3DPW, 17 on MPI-INF-3DHP (SPIN's evaluation)
J14: Final = (*LIMBS, "neck", "head")
J17: Final = (*J14, "pelvis", "spine", "jaw")
J24_PELVIS: Final = J24.index("pelvis")
J24_HIPS: Final = (J24.index("right_hip"), J24.index("left_hip"))
MIRRORED_J24: Final = tuple(J24.index(other_side(joint)) for joint in J24)
# the rows of J_regressor_h36m.npy; SPIN's H36M_TO_J14 and H36M_TO_J17 select J14 and J17 from them by number
H36M: Final = (
    *("pelvis", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle"),
    *("spine", "neck", "jaw", "head", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_shoulder", "right_elbow", "right_wrist"),
)
SPIN_DATA: Final = "SPIN's data.tar.gz (fetch_data.sh)"
H36M_CURE: Final = (
    f"J_regressor_h36m.npy is in {SPIN_DATA}: run "
    "`pmnet body import SMPL.pkl --h36m J_regressor_h36m.npy` again and set body.file to its output"
)
# the rows of J_regressor_extra.npy that SPIN uses, in its order
EXTRA: Final = ("right_hip", "left_hip", *TRUNK)
EXTRA_ROWS: Final = (len(EXTRA), 14)  # SPIN's file has 14
SUM_TOLERANCE: Final = 1e-3
MAX_APART_M: Final = 0.2  # of a joint that people annotate from its stand-in
# smplx's vertices of the face; the open body has them at the same numbers
FACE_VERTICES: Final = {
    "nose": "nose",
    "left_eye": "leye",
    "right_eye": "reye",
    "left_ear": "lear",
    "right_ear": "rear",
}


def keypoint_regressor(
    arrays: Mapping[str, np.ndarray], extra: np.ndarray | None = None
) -> np.ndarray:
    """Return the (24, V) float32 matrix that makes J24 from posed vertices; its rows sum to 1.

    `extra` holds the rows of SPIN's J_regressor_extra.npy, (9 or more, V); None uses stand-ins.
    """
    skeleton, template = arrays["J_regressor"], arrays["v_template"]
    rows = {joint: skeleton[JOINTS.index(joint)] for joint in LIMBS}
    rows |= (
        _stand_ins(skeleton, template) if extra is None else dict(zip(EXTRA, extra, strict=False))
    )
    for joint, name in FACE_VERTICES.items():
        rows[joint] = _vertex(len(template), vertex_ids["smplh"][name])
    return np.stack([rows[joint] for joint in J24]).astype(np.float32)


def read_extra(path: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the 9 rows of J_regressor_extra.npy that are used, (9, V), checked against a body.

    Raises InputError where the file has another number of rows, or a row does not sum to 1 or makes a joint
    far from where this body has it: rows of another regressor, or in another order.
    """
    rows = _matrix(path)
    vertices = len(arrays["v_template"])
    shapes = [(count, vertices) for count in EXTRA_ROWS]
    if rows.shape not in shapes:
        expected = " or ".join(f"{count} x {vertices}" for count in EXTRA_ROWS)
        turn = " (it is transposed)" if rows.shape in [shape[::-1] for shape in shapes] else ""
        raise InputError(
            f"{path}: is {rows.shape}{turn}; expected SPIN's J_regressor_extra.npy, {expected} numbers. "
            "J_regressor_h36m.npy (17 rows) and others are different regressors"
        )
    _check_extra(path, rows[: len(EXTRA)], arrays)
    return rows[: len(EXTRA)]


def _check_extra(path: Path, rows: np.ndarray, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise InputError where a row is no mean of vertices, or its joint is not at its place."""
    _check_sums(path, rows)
    template = arrays["v_template"]
    near = _stand_ins(arrays["J_regressor"], template)
    near |= {hip: arrays["J_regressor"][JOINTS.index(hip)] for hip in EXTRA[:2]}
    expected = np.stack([near[joint] for joint in EXTRA]) @ template
    far = np.linalg.norm(rows @ template - expected, axis=1)
    # the two hips lie closer together than MAX_APART_M, but never on the other side
    crossed = (rows[:2] @ template - expected[2 + TRUNK.index("pelvis")])[:, 0] * (
        expected[:2] - expected[2 + TRUNK.index("pelvis")]
    )[:, 0] <= 0
    wrong = far > MAX_APART_M
    wrong[:2] |= crossed
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: row {row} makes a joint {far[row]:.2f} m from this body's {EXTRA[row]}; expected the "
            f"rows {', '.join(EXTRA)}, as in SPIN's J_regressor_extra.npy, for the same body"
        )


def read_h36m(path: Path, template: np.ndarray) -> np.ndarray:
    """Return J_regressor_h36m.npy as (17, V) float32; raises InputError where the file is another.

    `template` (V, 3) is the body in rest pose, whose left is +x: it shows whether the rows have SPIN's order.
    """
    rows = _matrix(path)
    if rows.shape != (len(H36M), len(template)):
        raise InputError(
            f"{path}: is {rows.shape}; expected J_regressor_h36m.npy, 17 x {len(template)} numbers"
        )
    _check_sums(path, rows)
    x = (rows @ template)[:, 0]
    for row, joint in enumerate(H36M):
        if x[row] * {"left": 1, "right": -1}.get(joint.split("_")[0], 0) < 0:
            raise InputError(
                f"{path}: row {row} lies on the wrong side of the body for {joint}; expected the rows of "
                "SPIN's J_regressor_h36m.npy: pelvis, left leg, right leg, trunk, left arm, right arm"
            )
    return rows.astype(np.float32)


def _matrix(path: Path) -> np.ndarray:
    """Return the numbers of an .npy; raises InputError where it holds something else."""
    if not path.exists():
        raise InputError(f"{path}: no such file; both regressors are in {SPIN_DATA}")
    rows = read_npy(path)
    if rows.dtype.kind not in "fiu" or not np.isfinite(rows).all():
        raise InputError(
            f"{path}: holds {rows.dtype} or NaN; expected finite numbers; copy it anew"
        )
    return rows


def _check_sums(path: Path, rows: np.ndarray) -> None:
    """Raise InputError where a row is no mean of vertices."""
    for row, total in enumerate(rows.sum(1, dtype=np.float64)):
        if abs(total - 1) > SUM_TOLERANCE:
            raise InputError(f"{path}: row {row} sums to {total:.4g}; expected 1; copy it anew")


def _stand_ins(skeleton: np.ndarray, template: np.ndarray) -> dict[str, np.ndarray]:
    def joint(*names: str) -> np.ndarray:
        return np.mean([skeleton[JOINTS.index(name)] for name in names], axis=0)

    top = _vertex(len(template), int(template[:, 1].argmax()))
    nose = _vertex(len(template), vertex_ids["smplh"]["nose"])
    return {
        "neck": joint("neck"),
        "head_top": top,
        "pelvis": joint("left_hip", "right_hip"),
        "thorax": joint("neck", "spine3"),
        "spine": joint("spine1", "spine2"),
        "jaw": (joint("neck") + nose) / 2,
        "head": (joint("head") + top) / 2,
    }


def _vertex(count: int, index: int) -> np.ndarray:
    row = np.zeros(count)
    row[index] = 1.0
    return row
