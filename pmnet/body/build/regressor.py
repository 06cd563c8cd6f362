"""The joint regressor: each joint as a mean of a few vertices around it."""

import numpy as np
from scipy.optimize import nnls

from pmnet.body.build.shape import ScannedBodies
from pmnet.body.parts import JOINTS, MIRRORED_JOINTS
from pmnet.core.progress import track

FITTED_BODIES = 160
MOST_CANDIDATES = 500
SMALLEST_WEIGHT = 1e-4
SUM_PRICE = 30.0  # of weights that do not sum to 1
WEIGHT_PRICE = 1e-2  # of large weights, so that neighbours share
# how far (m) the vertices of a joint may lie from it; the trunk's joints lie deep
REACH_M = {
    "pelvis": 0.25,
    "hip": 0.2,
    "spine1": 0.25,
    "spine2": 0.25,
    "spine3": 0.28,
    "neck": 0.2,
    "collar": 0.2,
    "knee": 0.16,
    "shoulder": 0.16,
    "elbow": 0.12,
}
OTHER_REACH_M = 0.15


def joint_regressor(bodies: ScannedBodies, mirror: np.ndarray) -> np.ndarray:
    """Return the regressor (24, V): weights that are not negative, rows summing to 1, symmetric.

    The right side mirrors the left; `mirror` (V,) is the mirror image of each vertex.
    """
    vertices = bodies.vertices.astype(np.float64)
    rows = np.random.default_rng(0).choice(len(vertices), FITTED_BODIES, replace=False)
    template, joints = vertices.mean(0), bodies.joints.mean(0)
    regressor = np.zeros((len(JOINTS), len(template)))
    for joint in track(range(len(JOINTS)), "joint regressor"):
        image = MIRRORED_JOINTS[joint]
        if image < joint:
            regressor[joint] = regressor[image, mirror]
            continue
        candidates = _candidates(joint, template, joints[joint])
        if image == joint:
            candidates = np.union1d(candidates, mirror[candidates])
        weights = _fit(vertices[rows][:, candidates], bodies.joints[rows, joint])
        regressor[joint, candidates] = weights
        if image == joint:
            regressor[joint] = (regressor[joint] + regressor[joint, mirror]) / 2
    return regressor


def regressor_errors_m(regressor: np.ndarray, bodies: ScannedBodies) -> np.ndarray:
    """Return the mean distance (24,) of the regressed joints to the skeleton's, in m."""
    regressed = np.einsum(
        "jv,nvc->njc", regressor.astype(np.float32), bodies.vertices, optimize=True
    )
    return np.linalg.norm(regressed - bodies.joints, axis=2).mean(0)


def _candidates(joint: int, template: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return vertices around a joint, a random choice of them when there are many."""
    reach = REACH_M.get(JOINTS[joint].split("_")[-1], OTHER_REACH_M)
    near = np.flatnonzero(np.linalg.norm(template - place, axis=1) < reach)
    if len(near) < MOST_CANDIDATES:
        return near
    return np.random.default_rng(joint).choice(near, MOST_CANDIDATES, replace=False)


def _fit(vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Return the weights (C,) that best make joints (N, 3) from candidates (N, C, 3)."""
    count = vertices.shape[1]
    equations = vertices.transpose(0, 2, 1).reshape(-1, count)
    left = np.concatenate([equations, np.full((1, count), SUM_PRICE), WEIGHT_PRICE * np.eye(count)])
    right = np.concatenate([joints.ravel(), [SUM_PRICE], np.zeros(count)])
    weights, _ = nnls(left, right, maxiter=20000)
    weights[weights < SMALLEST_WEIGHT] = 0
    return weights / weights.sum()
