"""Pose correctives: SMPL's posedirs, linear in the rotation matrices, fitted joint by joint."""

import numpy as np
from scipy.spatial.transform import Rotation

from pmnet.body.build.motion import Flesh, flesh_around, sample_rotations
from pmnet.body.build.skeleton import MIRROR
from pmnet.body.parts import JOINTS, MIRRORED_JOINTS
from pmnet.core.progress import track

POSES = 160
RIDGE = 0.05
DAMPING = 2e-2  # of offsets where skinning nearly flattens a vertex's surroundings
SMALLEST_OFFSET_M = 1e-4


def pose_correctives(
    template: np.ndarray, joints: np.ndarray, weights: np.ndarray, mirror: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return posedirs (V, 3, 207) in m, and the mean error (23, 2) in m without and with them.

    `template` (V, 3) and `joints` (24, 3) in m, `weights` (V, 24), `mirror` (V,) the mirror image
    of each vertex. The error is the distance of the offsets from the offsets that make the wanted
    body of `motion`, over fitted poses and vertices around each joint.
    """
    rng = np.random.default_rng(0)
    posedirs = np.zeros((*template.shape, len(JOINTS) - 1, 9))
    errors = []
    for joint in track(range(1, len(JOINTS)), "pose correctives"):
        rotations = sample_rotations(joint, POSES, rng)
        flesh = flesh_around(joint, template, joints, weights)
        moved = (flesh.bend > 1e-4) & (flesh.bend < 1 - 1e-4)
        rows = np.flatnonzero(moved | (np.abs(flesh.twist - flesh.bend) > 1e-3))
        offsets = np.stack([_missing(flesh.at(rows), rotation) for rotation in rotations])
        directions, left = _fit(rotations, offsets)
        posedirs[rows, :, joint - 1] = directions
        errors.append([np.linalg.norm(part, axis=2).mean() for part in (offsets, left)])
    posedirs = (posedirs + _mirrored(posedirs, mirror)) / 2
    posedirs[np.abs(posedirs) < SMALLEST_OFFSET_M] = 0
    return posedirs.reshape(*template.shape, -1), np.array(errors)


def _missing(flesh: Flesh, rotation: Rotation) -> np.ndarray:
    """Return the offsets (V, 3) before skinning that bring the skinned vertices where wanted."""
    skin = flesh.skinned(rotation)
    lack = flesh.wanted(rotation) - np.einsum("vij,vj->vi", skin, flesh.offsets)
    back = skin.transpose(0, 2, 1)
    return np.linalg.solve(back @ skin + DAMPING * np.eye(3), back @ lack[..., None])[..., 0]


def _fit(rotations: Rotation, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return directions (V, 3, 9) by ridge regression of offsets (P, V, 3), and their errors."""
    poses = len(offsets)
    features = (rotations.as_matrix() - np.eye(3)).reshape(poses, 9)
    penalty = RIDGE * poses / 9 * np.eye(9)
    flat = offsets.reshape(poses, -1)
    directions = np.linalg.solve(features.T @ features + penalty, features.T @ flat)
    left = offsets - (features @ directions).reshape(offsets.shape)
    return directions.T.reshape(*offsets.shape[1:], 9), left


def _mirrored(posedirs: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Return posedirs (V, 3, 23, 9) of the mirrored body: R becomes M R M, M = diag(-1, 1, 1)."""
    joints = np.array(MIRRORED_JOINTS[1:]) - 1
    entries = np.outer(MIRROR, MIRROR).ravel()
    return posedirs[mirror][:, :, joints] * MIRROR[:, None, None] * entries
