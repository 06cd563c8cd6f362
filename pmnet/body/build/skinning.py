"""Skinning weights of the 24 joints, with softer transitions than Anny's."""

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array

from pmnet.body.build.layout import Layout
from pmnet.body.build.skeleton import Rig, joint_weights
from pmnet.body.parts import JOINTS, MIRRORED_JOINTS

SMOOTHING_STEPS = 4
SMALLEST_WEIGHT = 2e-3
# fingers, toes and head keep their weights: they are small, and their joints sharp
STIFF = ("head", "ankle", "foot", "wrist", "hand")


def skinning_weights(rig: Rig, layout: Layout) -> np.ndarray:
    """Return the weights (V, 24), rows summing to 1, symmetric."""
    weights = _symmetric((layout.sources @ joint_weights(rig)).toarray(), layout.mirror)
    stiff_joints = [j for j, name in enumerate(JOINTS) if name.endswith(STIFF)]
    stiff = np.isin(weights.argmax(1), stiff_joints)[:, None]
    neighbours = _neighbour_means(layout.faces, len(weights))
    for _ in range(SMOOTHING_STEPS):
        weights = np.where(stiff, weights, (weights + neighbours @ weights) / 2)
    weights = _symmetric(weights, layout.mirror)
    weights[weights < SMALLEST_WEIGHT] = 0
    return weights / weights.sum(1, keepdims=True)


def _symmetric(weights: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return (weights + weights[mirror][:, MIRRORED_JOINTS]) / 2


def _neighbour_means(faces: np.ndarray, size: int) -> csr_array:
    """Return the matrix (V, V) that takes the mean over the neighbours of each vertex."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    adjacency = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (size, size)).tocsr()
    return csr_array(diags_array(1 / adjacency.sum(1)) @ adjacency)
