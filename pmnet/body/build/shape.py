"""The average adult in T-pose, and the ten directions in which adults differ most."""

from dataclasses import dataclass

import numpy as np

from pmnet.body.build.adults import Adults
from pmnet.body.build.layout import Layout
from pmnet.body.build.skeleton import MIRROR, joint_positions
from pmnet.body.build.tpose import to_tpose
from pmnet.body.parts import JOINTS, MIRRORED_JOINTS
from pmnet.core.progress import track

# whether the body grows (1) or shrinks (-1) along a component: the analysis leaves the sign open,
# and these are the signs of the shipped body, so that betas keep their meaning
GROWTH = np.array([1, -1, -1, 1, -1, 1, -1, -1, -1, -1])
COMPONENTS = len(GROWTH)
BATCH = 50
# the pelvis of SMPL, so that cameras fitted to SMPL's bodies suit this body too
PELVIS_M = np.array([0.0, -0.223, 0.028])


@dataclass(frozen=True)
class ScannedBodies:
    """N adults in T-pose with the pelvis in one place: vertices (N, V, 3), joints (N, 24, 3), m."""

    vertices: np.ndarray
    joints: np.ndarray


@dataclass(frozen=True)
class Shapes:
    """The template (V, 3) and the directions (V, 3, 10) of one standard deviation, in m.

    `explained` (10,) is each direction's share of the variance; `error_m` the mean distance between
    the adults' vertices and their reconstruction from ten betas.
    """

    template: np.ndarray
    directions: np.ndarray
    explained: np.ndarray
    error_m: float


def tposed_bodies(adults: Adults, layout: Layout) -> ScannedBodies:
    """Return the adults in T-pose, on the layout's vertices, made symmetric."""
    count = len(adults.vertices)
    vertices: np.ndarray = np.empty((count, len(layout.mirror), 3), np.float32)
    joints = np.empty((count, len(JOINTS), 3))
    for start in track(range(0, count, BATCH), "T-pose"):
        rows = slice(start, start + BATCH)
        posed, heads = to_tpose(
            adults.vertices[rows].astype(np.float64),
            adults.bone_heads[rows].astype(np.float64),
            adults.rig,
        )
        vertices[rows] = [layout.sources @ body for body in posed]
        joints[rows] = joint_positions(adults.rig, heads)
    joints = (joints + joints[:, MIRRORED_JOINTS] * MIRROR) / 2
    vertices = (vertices + vertices[:, layout.mirror] * MIRROR.astype(np.float32)) / 2
    shift = PELVIS_M - joints[:, :1]
    return ScannedBodies(vertices + shift.astype(np.float32), joints + shift)


def principal_shapes(vertices: np.ndarray) -> Shapes:
    """Return the mean and the principal components of bodies (N, V, 3)."""
    count, size = vertices.shape[:2]
    template = vertices.mean(0, dtype=np.float64)
    offsets = (vertices - template.astype(np.float32)).reshape(count, -1)
    # N is far smaller than 3 V, so that the N x N products are decomposed instead
    values, vectors = np.linalg.eigh((offsets @ offsets.T).astype(np.float64))
    largest = np.arange(count)[::-1][:COMPONENTS]
    directions = offsets.T @ vectors[:, largest] / np.sqrt(count - 1)
    directions *= _signs(directions.reshape(size, 3, -1), template)
    betas = offsets @ (directions / (directions**2).sum(0))
    lost = (offsets - betas @ directions.T).reshape(count, size, 3)
    return Shapes(
        template=template,
        directions=directions.reshape(size, 3, -1),
        explained=values[largest] / values.sum(),
        error_m=float(np.linalg.norm(lost, axis=2).mean()),
    )


def _signs(directions: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Return the signs (10,) that give directions (V, 3, 10) the growth of `GROWTH`."""
    heights = template[:, 1] - template[:, 1].mean()
    return GROWTH * np.sign(np.einsum("vk,v->k", directions[:, 1], heights))
