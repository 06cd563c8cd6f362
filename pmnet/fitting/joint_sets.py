"""Joints by the names that detectors of 2D joints give them, as points of a body.

Hips, knees, ankles, shoulders, elbows and wrists are those of the skeleton; people and detectors put them up
to some centimetres elsewhere. Points of face, fingers and feet are vertices of SMPL's mesh.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import torch

from pmnet.body import BodyModel
from pmnet.body.parts import JOINTS
from pmnet.core.errors import InputError
from pmnet.fitting.points import NUMBERS, BodyPoints, joint_points, vertex_points

PAIRED: Final = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO_17: Final = (
    "nose",
    *(f"{side}_{name}" for name in ("eye", "ear", *PAIRED) for side in ("left", "right")),
)
_ARMS: Final = tuple(f"{side}_{name}" for side in ("right", "left") for name in PAIRED[:3])
_LEGS: Final = tuple(f"{side}_{name}" for side in ("right", "left") for name in PAIRED[3:])
_FACE: Final = ("right_eye", "left_eye", "right_ear", "left_ear")
_FEET: Final = tuple(
    f"{side}_{name}" for side in ("left", "right") for name in ("big_toe", "small_toe", "heel")
)
BODY_25: Final = ("nose", "neck", *_ARMS, "mid_hip", *_LEGS, *_FACE, *_FEET)
OPENPOSE_COCO_18: Final = ("nose", "neck", *_ARMS, *_LEGS, *_FACE)
BY_LENGTH: Final[Mapping[int, tuple[str, ...]]] = {
    len(names): names for names in (COCO_17, OPENPOSE_COCO_18, BODY_25)
}
# means of joints of the skeleton
MEANS: Final[Mapping[str, tuple[str, ...]]] = {
    "mid_hip": ("left_hip", "right_hip"),
    "neck": ("left_shoulder", "right_shoulder"),  # OpenPose's; SMPL's is higher
}
# smplx's vertices; the open body has them at the same numbers
VERTICES: Final[Mapping[str, int]] = {
    "nose": 332,
    "left_eye": 2800,
    "right_eye": 6260,
    "left_ear": 583,
    "right_ear": 4071,
    "left_big_toe": 3216,
    "right_big_toe": 6617,
    "left_small_toe": 3226,
    "right_small_toe": 6624,
    "left_heel": 3387,
    "right_heel": 6787,
    "left_thumb": 2746,
    "right_thumb": 6191,
    "left_index": 2319,
    "right_index": 5782,
    "left_pinky": 2673,
    "right_pinky": 6133,
}
SAME: Final[Mapping[str, str]] = {
    "left_foot_index": "left_big_toe",  # BlazePose's
    "right_foot_index": "right_big_toe",
}


def plain_name(name: str) -> str:
    """Return a name in small letters with underscores: "Left Hip" and "left-hip" are left_hip."""
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    return SAME.get(plain, plain)


def is_known(name: str) -> bool:
    """Return whether `named_points` knows a joint of this name."""
    plain = plain_name(name)
    return plain in MEANS or plain in VERTICES or plain in JOINTS


def named_points(body: BodyModel, names: Sequence[str]) -> BodyPoints:
    """Return joints as points of a body, in this order; raises InputError for a name that is not known."""
    if unknown := [name for name in names if not is_known(name)]:
        known = ", ".join((*VERTICES, *MEANS, *JOINTS))
        raise InputError(f"no joint is named {', '.join(unknown)}; known are {known}")
    skeleton = joint_points(body)
    return BodyPoints.cat([_point(body, skeleton, name) for name in names])


def _point(body: BodyModel, skeleton: BodyPoints, name: str) -> BodyPoints:
    plain = plain_name(name)
    if plain in VERTICES:
        return vertex_points(body, [name], [VERTICES[plain]])
    parts = MEANS.get(plain, (plain,))
    terms = skeleton.select([JOINTS.index(part) for part in parts])
    share = {key: getattr(terms, key) / len(parts) for key in NUMBERS}
    return replace(terms, names=(name,), point=torch.zeros_like(terms.point), **share)
