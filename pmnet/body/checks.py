"""The laws of a body in SMPL layout: each error names in one sentence the law that the body breaks."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pmnet.body.skeleton import PARENTS

VERTICES: Final = 6890
FACES: Final = 13776
JOINT_COUNT: Final = len(PARENTS)
MIN_BETAS: Final = 10
SHAPES: Final[Mapping[str, tuple[int | None, ...]]] = {
    "v_template": (VERTICES, 3),
    "f": (FACES, 3),
    "shapedirs": (VERTICES, 3, None),
    "posedirs": (VERTICES, 3, 9 * (JOINT_COUNT - 1)),
    "J_regressor": (JOINT_COUNT, VERTICES),
    "weights": (VERTICES, JOINT_COUNT),
    "kintree_table": (2, JOINT_COUNT),
}
# SMPL's files write the root's parent, -1, as an unsigned 32-bit number
ROOT_PARENTS: Final = (-1, 2**32 - 1)
REGRESSOR_TOLERANCE: Final = 1e-4
H36M_COUNT: Final = 17
H36M_TOLERANCE: Final = 1e-2  # J_regressor_h36m.npy was fitted: its rows sum to 1 less closely
# the weights in official files sum to 1 less closely than in the open body
WEIGHTS_TOLERANCE: Final = 1e-3
MIRROR_TOLERANCE_M: Final = 1e-5


def check_body(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError with the first law that a body breaks; official SMPL files keep all laws.

    The laws: shapes (10 or more shapedirs), finite numbers, faces within range, weights that are not
    negative and sum to 1 at each vertex, rows of J_regressor that sum to 1, and SMPL's tree.
    """
    for key, shape in SHAPES.items():
        _check_shape(arrays, key, shape)
    if arrays["shapedirs"].shape[2] < MIN_BETAS:
        raise ValueError(
            f"shapedirs has {arrays['shapedirs'].shape[2]} components; expected {MIN_BETAS} or more"
        )
    _checked_indices("f", arrays["f"], VERTICES)
    weights = arrays["weights"]
    if weights.min() < 0:
        raise ValueError(f"weights holds {weights.min():.3g}; expected no negative skinning weight")
    _check_row_sums("weights", weights, WEIGHTS_TOLERANCE)
    _check_row_sums("J_regressor", arrays["J_regressor"], REGRESSOR_TOLERANCE)
    if "keypoint_regressor" in arrays:
        _check_shape(arrays, "keypoint_regressor", (JOINT_COUNT, VERTICES))
        _check_row_sums("keypoint_regressor", arrays["keypoint_regressor"], REGRESSOR_TOLERANCE)
    if "h36m_regressor" in arrays:
        _check_shape(arrays, "h36m_regressor", (H36M_COUNT, VERTICES))
        _check_row_sums("h36m_regressor", arrays["h36m_regressor"], H36M_TOLERANCE)
    _check_tree(arrays["kintree_table"].astype(np.int64))


def check_topology(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless the faces close one surface without holes or handles.

    That is: every edge lies on two faces that agree on the outside, every vertex on one fan of
    faces, and vertices - edges + faces is 2. Needs `f` and, for the number of vertices, `v_template`;
    the mesh may have any size.
    """
    vertices = len(arrays["v_template"])
    faces = _checked_indices("f", arrays["f"], vertices)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    keys = edges[:, 0] * vertices + edges[:, 1]
    if (edges[:, 0] == edges[:, 1]).any():
        raise ValueError("a face of f names one vertex twice; expected three different ones")
    if repeated := len(keys) - len(np.unique(keys)):
        raise ValueError(
            f"{repeated} edges of f run the same way in two faces; expected a surface whose faces "
            "agree on the outside"
        )
    if opened := len(np.setdiff1d(keys, edges[:, 1] * vertices + edges[:, 0])):
        raise ValueError(f"{opened} edges of f lie on one face only; expected a closed surface")
    components = _component_count(edges, vertices)
    if components != 1:
        raise ValueError(f"the surface has {components} separate pieces; expected one")
    _check_fans(faces, vertices)
    euler = vertices - len(edges) // 2 + len(faces)
    if euler != 2:
        raise ValueError(f"the Euler characteristic of f is {euler}; expected 2, as of a sphere")


def check_symmetry(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError unless `sym`, the mirror image (V,) of each vertex, mirrors the body.

    `sym` must be its own inverse, and v_template must lie within 1e-5 m of its image in x = 0.
    """
    vertices = len(arrays["v_template"])
    _check_shape(arrays, "sym", (vertices,))
    mirror = _checked_indices("sym", arrays["sym"], vertices)
    if moved := int((mirror[mirror] != np.arange(vertices)).sum()):
        raise ValueError(f"sym mirrored twice moves {moved} vertices; expected none to move")
    template = arrays["v_template"].astype(np.float64)
    error = np.abs(template[mirror] * [-1.0, 1.0, 1.0] - template).max()
    if error > MIRROR_TOLERANCE_M:
        raise ValueError(
            f"v_template differs from its mirror image by {error:.2g} m; expected at most "
            f"{MIRROR_TOLERANCE_M:g} m"
        )


def _check_shape(arrays: Mapping[str, np.ndarray], key: str, shape: tuple[int | None, ...]) -> None:
    if key not in arrays:
        raise ValueError(f"{key} is missing; expected an array of shape {_written(shape)}")
    actual_shape = arrays[key].shape
    if len(actual_shape) != len(shape) or any(
        size not in (None, actual) for size, actual in zip(shape, actual_shape, strict=True)
    ):
        raise ValueError(f"{key} has shape {_written(actual_shape)}; expected {_written(shape)}")
    if arrays[key].dtype.kind not in "fiu":
        raise ValueError(f"{key} holds {arrays[key].dtype}; expected real numbers")
    if not np.isfinite(arrays[key]).all():
        raise ValueError(f"{key} holds NaN or infinity; expected finite numbers")


def _written(shape: tuple[int | None, ...]) -> str:
    return "x".join("any" if size is None else str(size) for size in shape)


def _checked_indices(key: str, indices: np.ndarray, vertices: int) -> np.ndarray:
    if indices.dtype.kind not in "iu":
        raise ValueError(f"{key} holds {indices.dtype}; expected integers, numbers of vertices")
    least, most = int(indices.min()), int(indices.max())
    if least < 0 or most >= vertices:
        raise ValueError(
            f"{key} names the vertices {least} to {most}; expected 0 to {vertices - 1}"
        )
    return indices.astype(np.int64)


def _check_row_sums(key: str, rows: np.ndarray, tolerance: float) -> None:
    sums = rows.sum(1, dtype=np.float64)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > tolerance:
        raise ValueError(
            f"row {worst} of {key} sums to {sums[worst]:.6f}; expected 1 within {tolerance:g}"
        )


def _check_tree(table: np.ndarray) -> None:
    if table[0, 0] not in ROOT_PARENTS:
        raise ValueError(f"kintree_table gives the root the parent {table[0, 0]}; expected none")
    wrong = np.flatnonzero(
        (table[0, 1:] != PARENTS[1:]) | (table[1, 1:] != np.arange(1, JOINT_COUNT))
    )
    if len(wrong) or table[1, 0] != 0:
        joint = int(wrong[0]) + 1 if len(wrong) else 0
        raise ValueError(
            f"kintree_table says that joint {table[1, joint]} hangs on {table[0, joint]} in column "
            f"{joint}; expected SMPL's tree, joint {joint} on {PARENTS[joint]}"
        )


def _component_count(edges: np.ndarray, vertices: int) -> int:
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (vertices, vertices))
    return int(connected_components(graph, directed=False, return_labels=False))


def _check_fans(faces: np.ndarray, vertices: int) -> None:
    """Raise ValueError where surfaces touch only at a vertex: its faces then form two fans."""
    vertex = faces.ravel()
    following, previous = faces[:, [1, 2, 0]].ravel(), faces[:, [2, 0, 1]].ravel()
    # on a closed surface, the edge that leaves a corner of a vertex arrives at another corner of that
    # vertex, in the next face of the fan; a chain of such neighbours is one fan
    leaving = np.argsort(vertex * vertices + following)
    arriving = np.argsort(vertex * vertices + previous)
    fans = _component_count(np.stack([leaving, arriving], 1), faces.size)
    if fans != vertices:
        raise ValueError(
            f"{fans - vertices} vertices join fans of faces that touch in a point only; expected "
            "one fan at each vertex"
        )
