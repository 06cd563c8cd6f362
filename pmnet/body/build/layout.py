"""From a thinned left half to the whole body, its vertices in an order that SMPL's users know."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, vstack
from scipy.spatial import cKDTree
from smplx.vertex_ids import vertex_ids

from pmnet.body.build.skeleton import MIRROR

# the numbers that smplx gives to its 21 landmarks: they are part of SMPL's layout
LANDMARK_IDS: Mapping[str, int] = vertex_ids["smplh"]


@dataclass(frozen=True)
class Layout:
    """The whole body's faces (F, 3), sources (V, Anny's V) and mirror image of each vertex (V,)."""

    faces: np.ndarray
    sources: csr_array
    mirror: np.ndarray


def mirror_faces(faces: np.ndarray, on_midline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the faces (2 F, 3) of a half and its mirror image, and the image (V,) of each vertex.

    The vertices on the midline, those where `on_midline` (V_half,) is true, are their own images;
    the images of the others follow the half's vertices in the same order.
    """
    size = len(on_midline)
    sided = np.flatnonzero(~on_midline)
    image = np.arange(size)
    image[sided] = size + np.arange(len(sided))
    # mirroring turns the outside in: name the corners the other way round
    return np.concatenate([faces, image[faces][:, [0, 2, 1]]]), np.concatenate([image, sided])


def whole_body(
    faces: np.ndarray,
    sources: csr_array,
    on_midline: np.ndarray,
    landmarks: Mapping[str, int],
    anny_points: np.ndarray,
) -> Layout:
    """Return the whole of a left half, with the landmarks at smplx's vertex numbers.

    `faces` (F, 3) name some of the rows of `sources` and `on_midline`; other rows are dropped.
    `landmarks` are those of the nose and the left; `anny_points` (Anny's V, 3) a symmetric body.
    """
    kept, compact = np.unique(faces, return_inverse=True)
    all_faces, mirror = mirror_faces(compact.reshape(-1, 3), on_midline[kept])
    left = sources[kept]
    images = cKDTree(anny_points).query(anny_points * MIRROR)[1]
    # the image of a mean of Anny's vertices is the mean of their images
    right = left[~on_midline[kept]][:, images]
    order = _order({name: int(np.searchsorted(kept, v)) for name, v in landmarks.items()}, mirror)
    place = np.argsort(order)
    return Layout(
        faces=place[all_faces],
        sources=csr_array(vstack([left, right]))[order],
        mirror=place[mirror[order]],
    )


def _order(landmarks: Mapping[str, int], mirror: np.ndarray) -> np.ndarray:
    """Return the vertices (V,) in their new order: landmarks at their numbers, the rest in turn."""
    places = {LANDMARK_IDS[name]: vertex for name, vertex in landmarks.items()}
    for name, vertex in landmarks.items():
        if name != "nose":
            right = ("r" if name[0] == "l" else "R") + name[1:]
            places[LANDMARK_IDS[right]] = int(mirror[vertex])
    taken = set(places.values())
    others = iter(vertex for vertex in range(len(mirror)) if vertex not in taken)
    return np.array([places[n] if n in places else next(others) for n in range(len(mirror))])
