"""How each joint moves, and how flesh would follow: the motion that the correctives are fitted to.

Linear skinning mixes matrices, so a bent joint loses volume and a twisted one collapses. The wanted
body twists little by little along the bone, and bends by mixing rotations instead of matrices. That
is a heuristic about flesh, not a measurement of people.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from pmnet.body.parts import JOINTS, PARENTS

Limits = tuple[int, int]
ROTATION_SHARE = 0.8  # of mixed rotations in a bend; the rest is linear skinning


@dataclass(frozen=True)
class Motion:
    """Limits (degrees about x, y, z) of a left joint, and where its twist takes place.

    `bone` is the bone that twists: it ends at the joint ("above") or starts there ("below"); `shares`
    are the shares of the twist at the bone's start and end.
    """

    limits: tuple[Limits, Limits, Limits]
    bone: Literal["above", "below"] | None = None
    shares: tuple[float, float] = (0.0, 1.0)


SPINE = Motion(((-35, 50), (-35, 35), (-30, 30)))
NECK = Motion(((-45, 45), (-50, 50), (-35, 35)))
MOTIONS = {
    "hip": Motion(((-120, 40), (-45, 45), (-50, 50)), "below", (0.15, 1.0)),
    "knee": Motion(((0, 150), (-25, 25), (-15, 15))),
    "ankle": Motion(((-40, 40), (-35, 35), (-30, 30)), "above", (0.0, 0.5)),
    "foot": Motion(((-35, 25), (-10, 10), (-10, 10))),
    "spine1": SPINE,
    "spine2": SPINE,
    "spine3": SPINE,
    "neck": NECK,
    "head": NECK,
    "collar": Motion(((-15, 15), (-25, 25), (-30, 35))),
    "shoulder": Motion(((-90, 90), (-110, 110), (-90, 90)), "below", (0.15, 1.0)),
    "elbow": Motion(((-90, 90), (-150, 15), (-25, 25)), "below", (0.5, 1.0)),
    "wrist": Motion(((-90, 90), (-40, 40), (-75, 75)), "above", (0.05, 0.85)),
    "hand": Motion(((-15, 15), (-20, 20), (-60, 60))),
}


def motion_of(joint: int) -> Motion:
    """Return how a joint moves; right joints move as the left ones, mirrored."""
    return MOTIONS[JOINTS[joint].removeprefix("left_").removeprefix("right_")]


def sample_rotations(joint: int, count: int, rng: np.random.Generator) -> Rotation:
    """Return rotations of a joint within its limits, every third about one axis only."""
    low, high = np.deg2rad(motion_of(joint).limits).T
    rotvecs = rng.uniform(low, high, (count, 3))
    rotvecs[::3] *= np.eye(3)[rng.integers(3, size=len(rotvecs[::3]))]
    if JOINTS[joint].startswith("right_"):
        rotvecs *= [1.0, -1.0, -1.0]
    return Rotation.from_rotvec(rotvecs)


@dataclass(frozen=True)
class Flesh:
    """The vertices around a joint: `offsets` (V, 3) from it in m, and how far they follow its rotation.

    `bend` (V,) is the skinning weight of the joint and all beyond it; `twist` (V,) the share of its
    rotation about `axis` (3,), the direction of the bone that twists; no axis, no twist.
    """

    offsets: np.ndarray
    bend: np.ndarray
    twist: np.ndarray
    axis: np.ndarray | None

    def at(self, rows: np.ndarray) -> "Flesh":
        """Return the same for some of the vertices."""
        return Flesh(self.offsets[rows], self.bend[rows], self.twist[rows], self.axis)

    def skinned(self, rotation: Rotation) -> np.ndarray:
        """Return the matrices (V, 3, 3) by which linear skinning moves the offsets."""
        bend = self.bend[:, None, None]
        return (1 - bend) * np.eye(3) + bend * rotation.as_matrix()

    def wanted(self, rotation: Rotation) -> np.ndarray:
        """Return the offsets (V, 3) that flesh would have, in m."""
        swing, twist = _swing_and_twist(rotation, self.axis)
        twisted = Rotation.from_rotvec(self.twist[:, None] * twist).apply(self.offsets)
        bend = self.bend[:, None]
        x, y, z, w = swing.as_quat(canonical=True)
        mixed = np.concatenate([bend * [x, y, z], 1 - bend + bend * w], 1)
        by_rotations = Rotation.from_quat(mixed).apply(twisted)
        by_matrices = (1 - bend) * twisted + bend * swing.apply(twisted)
        return ROTATION_SHARE * by_rotations + (1 - ROTATION_SHARE) * by_matrices


def flesh_around(
    joint: int, template: np.ndarray, joints: np.ndarray, weights: np.ndarray
) -> Flesh:
    """Return how all vertices follow a joint; template (V, 3), joints (24, 3), weights (V, 24)."""
    bend = weights[:, _descendants(joint)].sum(1)
    offsets = template - joints[joint]
    motion = motion_of(joint)
    if motion.bone is None:
        return Flesh(offsets, bend, bend, None)
    if motion.bone == "above":
        start, end = PARENTS[joint], joint
        ramp = _ramp(template, joints[start], joints[end], motion.shares)
        twist = np.maximum(bend, ramp * np.clip(weights[:, start] + bend, 0, 1))
    else:
        start, end = joint, PARENTS.index(joint)
        ramp = _ramp(template, joints[start], joints[end], motion.shares)
        own = np.clip(weights[:, joint] / np.maximum(bend, 1e-9), 0, 1)
        twist = bend * (own * ramp + 1 - own)
    bone = joints[end] - joints[start]
    return Flesh(offsets, bend, twist, bone / np.linalg.norm(bone))


def _descendants(joint: int) -> list[int]:
    """Return a joint and all joints beyond it."""
    descendants = [joint]
    for child, parent in enumerate(PARENTS):
        if parent in descendants:
            descendants.append(child)
    return descendants


def _ramp(
    template: np.ndarray, start: np.ndarray, end: np.ndarray, shares: tuple[float, float]
) -> np.ndarray:
    """Return for each vertex (V,) the share between those at the start and the end of a bone."""
    bone = end - start
    along = np.clip((template - start) @ bone / (bone @ bone), 0, 1)
    return shares[0] + (shares[1] - shares[0]) * along


def _swing_and_twist(rotation: Rotation, axis: np.ndarray | None) -> tuple[Rotation, np.ndarray]:
    """Return swing and twist (rotvec, rad, about the axis) with rotation = swing * twist."""
    if axis is None:
        return rotation, np.zeros(3)
    x, y, z, w = rotation.as_quat(canonical=True)
    twist = 2 * np.arctan2(axis @ [x, y, z], w) * axis
    return rotation * Rotation.from_rotvec(-twist), twist
