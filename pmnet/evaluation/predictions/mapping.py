"""From the vertices of other meshes (MHR, SMPL-X) to SMPL's, by the files that their makers publish."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array

from pmnet.body.checks import VERTICES
from pmnet.core.errors import InputError
from pmnet.formats.npz import npz_keys, read_npy, read_npz

KEYS: Final = ("triangle_ids", "baryc_coords")
MATRIX: Final = "matrix"
SUM_TOLERANCE: Final = 1e-3


@dataclass(frozen=True)
class MeshMapping:
    """A sparse matrix that makes SMPL's 6890 vertices out of those of another mesh."""

    matrix: csr_array

    def to_smpl(self, vertices: Float[np.ndarray, "n v 3"]) -> Float[np.ndarray, "n 6890 3"]:
        """Return SMPL's vertices (same unit); raises InputError for a mesh of another size."""
        n, count, _ = vertices.shape
        if count != self.matrix.shape[1]:
            raise InputError(
                f"the mapping is for meshes of {self.matrix.shape[1]} vertices, the predictions have {count}"
            )
        flat = vertices.transpose(1, 0, 2).reshape(count, 3 * n)
        mapped: np.ndarray = self.matrix @ flat
        return mapped.reshape(VERTICES, n, 3).transpose(1, 0, 2)


def read_mapping(file: Path, triangles: Path | None) -> MeshMapping:
    """Return a mapping from MHR's mhr2smpl_mapping.npz and MHR's triangles, or from a `matrix` (SMPL-X).

    MHR's file names a triangle and three weights for every vertex of SMPL; `triangles` (npy, or npz with key
    `f` or `faces`) are those of the mesh that was predicted. Raises InputError, naming file and key.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file; check --mapping")
    keys = npz_keys(file)
    if MATRIX in keys:
        matrix = read_npz(file, (MATRIX,))[MATRIX]
        if matrix.ndim != 2 or len(matrix) != VERTICES or matrix.dtype.kind != "f":
            raise InputError(
                f"{file}: 'matrix' is {matrix.dtype} of shape {matrix.shape}; expected {VERTICES} x V"
            )
        return _checked(file, csr_array(matrix.astype(np.float32)))
    if not keys >= set(KEYS):
        raise InputError(
            f"{file}: has {', '.join(sorted(keys)) or 'no keys'}; expected {' and '.join(KEYS)} (MHR's "
            "mhr2smpl_mapping.npz), or `matrix`"
        )
    if triangles is None:
        raise InputError(f"{file}: names triangles of MHR's mesh; give them with --triangles")
    values = read_npz(file, KEYS)
    ids, weights = (np.asarray(values[key]) for key in KEYS)
    faces = _faces(triangles)
    if (
        ids.shape != (VERTICES,)
        or ids.dtype.kind not in "iu"
        or weights.shape != (VERTICES, 3)
        or weights.dtype.kind != "f"
    ):
        raise InputError(
            f"{file}: 'triangle_ids' is {ids.dtype} {ids.shape} and 'baryc_coords' {weights.dtype} "
            f"{weights.shape}; "
            f"expected {VERTICES} whole numbers and {VERTICES} x 3"
        )
    if ids.min() < 0 or ids.max() >= len(faces):
        raise InputError(
            f"{file}: 'triangle_ids' row {int(ids.argmax())} is {int(ids.max())}, but {triangles} has "
            f"{len(faces)} triangles; give those of the mesh that the mapping was made for (LOD 1)"
        )
    rows = np.repeat(np.arange(VERTICES), 3)
    entries = weights.astype(np.float32).ravel(), (rows, faces[ids].ravel())
    return _checked(file, csr_array(entries, shape=(VERTICES, int(faces.max()) + 1)))


def _checked(file: Path, matrix: csr_array) -> MeshMapping:
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    worst = int(np.nan_to_num(np.abs(sums - 1), nan=np.inf).argmax())
    if not abs(sums[worst] - 1) < SUM_TOLERANCE:
        raise InputError(
            f"{file}: the weights of vertex {worst} sum to {sums[worst]:.4g}, not to 1; "
            "give the mapping from MHR to SMPL"
        )
    return MeshMapping(matrix)


def _faces(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"{path}: no such file; check --triangles")
    if path.suffix == ".npz":
        values = read_npz(path, ("f", "faces"))
        faces = next(iter(values.values()), np.empty(0))
    else:
        faces = read_npy(path)
    numbered = faces.ndim == 2 and faces.shape[1] == 3 and faces.dtype.kind in "iu"
    if not numbered or not len(faces) or faces.min() < 0:
        raise InputError(
            f"{path}: is {faces.dtype} of shape {faces.shape}; expected triangles, F x 3 whole numbers, as "
            ".npy or as .npz with the key `f`"
        )
    return faces
