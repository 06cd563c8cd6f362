"""The 24 annotated joints of the field's data sets (J24 of SPIN), made from the vertices of a body.

The joints that people annotate differ from the joints of the skeleton; a regressor makes them from the
vertices, J = J V^T (section 3.1). Users have to obtain SPIN's `J_regressor_extra.npy` themselves; without
it, skeleton joints and vertices close to the annotated joints stand in. Comparisons with published numbers
need the real file (`pmnet body import --extra`).
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
# the rows of J_regressor_extra.npy that SPIN uses, in its order
EXTRA: Final = ("right_hip", "left_hip", *TRUNK)
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


def read_extra(path: Path) -> np.ndarray:
    """Return the rows of J_regressor_extra.npy; raises InputError where the file is another."""
    rows = read_npy(path)
    if rows.ndim != 2 or len(rows) < len(EXTRA):
        raise InputError(f"{path}: expected SPIN's J_regressor_extra.npy, 9 or more x 6890 numbers")
    return rows


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
