"""From Anny's rest pose, arms lowered and elbows bent, to SMPL's T-pose.

Each bone gets one rotation in world axes, found from the body's own bone heads, so that bodies of
all proportions end in the same pose. N bodies, in m, x to the body's left, y up, z forward.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from pmnet.body.build.skeleton import Rig

COLLAR_LIFT_DEG = 8.0  # a shoulder lifts its collar when the arm goes up to the T
# directions for the left side; the sign of x is turned for the right
UPPER_ARM = np.array([1.0, -0.03, -0.05])
FOREARM = np.array([1.0, 0.0, 0.03])
HAND = np.array([1.0, -0.02, 0.02])
THUMB_SIDE = np.array([0.0, 0.1, 1.0])
THIGH = np.array([0.02, -0.375, -0.002])
SHIN = np.array([-0.008, -0.398, -0.044])
# share of the hand's roll about the forearm that the two forearm bones take: it grows to the wrist
ROLL_SHARES = {"lowerarm01": 0.15, "lowerarm02": 0.6}
# the yaw (degrees outwards) of the leg grows downwards to the yaw of the foot
YAW_DEG = {"upperleg": 2.0, "lowerleg": 5.0, "foot": 9.0, "toe": 9.0}
# fingers lose three quarters of their curl and bend towards the direction of the hand
CURL_LEFT = np.array([1.0, 0.25, 1.0])
STRAIGHTENING = 0.6


def to_tpose(vertices: np.ndarray, heads: np.ndarray, rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (N, V, 3) and bone heads (N, bones, 3) of the bodies put in T-pose."""
    rotations = _bone_rotations(heads, rig)
    moved = np.empty_like(heads)
    for bone, parent in enumerate(rig.parents):
        moved[:, bone] = heads[:, bone]
        if parent >= 0:
            offset = heads[:, bone] - heads[:, parent]
            moved[:, bone] = moved[:, parent] + _rotate(rotations[:, parent], offset)
    shifts = moved - _rotate(rotations, heads)
    posed = np.empty(vertices.shape)
    for body, (turns, shift) in enumerate(zip(rotations, shifts, strict=True)):
        blended = rig.weights @ np.concatenate([turns.reshape(-1, 9), shift], 1)
        posed[body] = _rotate(blended[:, :9].reshape(-1, 3, 3), vertices[body]) + blended[:, 9:]
    return posed, moved


def _bone_rotations(heads: np.ndarray, rig: Rig) -> np.ndarray:
    """Return the rotation in world axes of each bone (N, bones, 3, 3); the trunk stays."""
    rotations = np.tile(np.eye(3), (*heads.shape[:2], 1, 1))
    for end, sign in ((".L", 1.0), (".R", -1.0)):
        sided = [bone for bone in rig.names if bone.endswith(end)]
        places = {bone.removesuffix(end): rig.head(heads, bone) for bone in sided}
        mirror = np.array([sign, 1.0, 1.0])
        limbs = _arm(places, mirror) | _fingers(places, mirror) | _leg(places, mirror)
        for bone, rotation in limbs.items():
            rotations[:, rig.names.index(bone + end)] = rotation
    return rotations


def _arm(places: dict[str, np.ndarray], mirror: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rotations of collar, arm and wrist; the elbow's axis becomes vertical."""
    collar = _about([0.0, 0.0, 1.0], mirror[0] * COLLAR_LIFT_DEG)
    upper = places["lowerarm01"] - places["upperarm01"]
    fore = places["wrist"] - places["lowerarm01"]
    flexion = np.cross(upper, fore)
    vertical = np.array([0.0, -mirror[0], 0.0])
    upper_rotation = _aligning(upper, flexion, UPPER_ARM * mirror, vertical)
    fore_rotation = _aligning(fore, flexion, FOREARM * mirror, vertical)
    rotations = {"clavicle": collar, "shoulder01": collar, "wrist": _hand(places, mirror)}
    rotations |= {"upperarm01": upper_rotation, "upperarm02": upper_rotation}
    axis = _unit(fore)
    turn = Rotation.from_matrix(fore_rotation.transpose(0, 2, 1) @ rotations["wrist"]).as_rotvec()
    roll = axis * (turn * axis).sum(-1, keepdims=True)
    for bone, share in ROLL_SHARES.items():
        rotations[bone] = fore_rotation @ Rotation.from_rotvec(share * roll).as_matrix()
    return rotations


def _hand(places: dict[str, np.ndarray], mirror: np.ndarray) -> np.ndarray:
    """Return the rotation (N, 3, 3) that points the hand outwards with its palm down."""
    knuckles = places["finger2-1"] - places["finger5-1"]
    return _aligning(_hand_direction(places), knuckles, HAND * mirror, THUMB_SIDE)


def _hand_direction(places: dict[str, np.ndarray]) -> np.ndarray:
    return places["finger3-1"] - places["wrist"]


def _fingers(places: dict[str, np.ndarray], mirror: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rotations of metacarpals and fingers: they follow the hand, but straighter."""
    hand = _hand(places, mirror)
    ahead = _unit(_rotate(hand, _unit(_hand_direction(places))) * [1.0, 0.3, 1.0])
    rotations = {f"metacarpal{finger}": hand for finger in range(1, 5)}
    rotations |= {f"finger1-{phalanx}": hand for phalanx in (1, 2, 3)}
    for finger in range(2, 6):
        for phalanx in (1, 2):
            bone = places[f"finger{finger}-{phalanx + 1}"] - places[f"finger{finger}-{phalanx}"]
            bent = _rotate(hand, _unit(bone))
            straight = _unit(_unit(bent * CURL_LEFT) + STRAIGHTENING * ahead)
            rotations[f"finger{finger}-{phalanx}"] = _shortest(bent, straight) @ hand
        # the last bone has no bone after it to show its direction
        rotations[f"finger{finger}-3"] = rotations[f"finger{finger}-2"]
    return rotations


def _leg(places: dict[str, np.ndarray], mirror: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rotations of leg, foot and toes: parallel legs, feet turned out a little."""
    thigh = _shortest(places["lowerleg01"] - places["upperleg01"], THIGH * mirror)
    shin = _shortest(places["foot"] - places["lowerleg01"], SHIN * mirror)
    straightening = {"upperleg": thigh, "lowerleg": shin, "foot": np.eye(3), "toe": np.eye(3)}
    rotations: dict[str, np.ndarray] = {}
    for beginning, first in straightening.items():
        rotation = _about([0.0, 1.0, 0.0], mirror[0] * YAW_DEG[beginning]) @ first
        rotations |= {bone: rotation for bone in places if bone.startswith(beginning)}
    return rotations


def _rotate(rotations: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.einsum("...ij,...j->...i", rotations, vectors)


def _about(axis: list[float], degrees: float) -> np.ndarray:
    return Rotation.from_rotvec(np.array(axis) * degrees, degrees=True).as_matrix()


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the orthonormal frame (..., 3, 3) whose x is `first` and whose xy holds `second`."""
    x = _unit(first)
    y = _unit(second - (second * x).sum(-1, keepdims=True) * x)
    return np.stack([x, y, np.cross(x, y)], -1)


def _aligning(
    first: np.ndarray, second: np.ndarray, new_first: np.ndarray, new_second: np.ndarray
) -> np.ndarray:
    """Return the rotations that take `first` to `new_first`, and `second` as near as they can."""
    return _frame(new_first, new_second) @ np.swapaxes(_frame(first, second), -1, -2)


def _shortest(vectors: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the smallest rotations that take vectors (N, 3) to the directions of targets."""
    start = _unit(vectors)
    end = np.broadcast_to(_unit(targets), start.shape)
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (start * end).sum(-1, keepdims=True))
    return Rotation.from_rotvec(axis / np.maximum(sine, 1e-12) * angle).as_matrix()
