"""Poses drawn from hand-written families of actions: the open default, with a long tail.

Each family is a mean pose and a few moves: directions in pose space, each added with a random factor from
-1 to 1. Every joint is jittered. Angles are rotation vectors in degrees, for a body that faces +z with y
up and x to its left; half of the samples are mirrored left to right.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import View
from pmnet.body.parts import JOINTS, mirror_rotvecs
from pmnet.core.errors import InputError
from pmnet.core.ranges import Angle, Count, Seed, Weight
from pmnet.data.samples import About, Samples
from pmnet.datasets._shared.posed import posed_samples

Pose = Mapping[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Options:
    """The number of samples, the share of each family, the noise and the cameras."""

    samples: Count
    families: dict[str, Weight]
    jitter_deg: Angle
    betas_spread: Weight
    view: View
    seed: Seed


@dataclass(frozen=True)
class Family:
    """A mean pose and its moves, in degrees."""

    mean: Pose
    moves: tuple[Pose, ...] = ()


ARMS_DOWN: Final[Pose] = {
    "left_shoulder": (0, 0, -70),
    "right_shoulder": (0, 0, 70),
    "left_elbow": (0, -15, 0),
    "right_elbow": (0, 15, 0),
}
ARMS_FORWARD: Final[Pose] = {
    "left_shoulder": (0, -75, -15),
    "right_shoulder": (0, 75, 15),
    "left_elbow": (0, -20, 0),
    "right_elbow": (0, 20, 0),
}
ARMS_UP: Final[Pose] = {
    "left_collar": (0, 0, 18),
    "right_collar": (0, 0, -18),
    "left_shoulder": (0, 0, 55),
    "right_shoulder": (0, 0, -55),
}
ARM_SWING: Final[Pose] = {"left_shoulder": (25, -20, 0), "right_shoulder": (-25, -20, 0)}
BEND_ELBOWS: Final[Pose] = {"left_elbow": (0, -40, 0), "right_elbow": (0, 40, 0)}
TURN: Final[Pose] = {"spine1": (0, 12, 0), "spine2": (0, 12, 0), "neck": (0, 20, 0)}
LEAN: Final[Pose] = {"spine1": (10, 0, 0), "spine2": (10, 0, 0), "neck": (8, 0, 0)}
STRADDLE: Final[Pose] = {"left_hip": (0, 0, 35), "right_hip": (0, 0, -35)}

FAMILIES: Final[Mapping[str, Family]] = {
    "stand": Family(
        {**ARMS_DOWN, "left_hip": (0, 0, 4), "right_hip": (0, 0, -4)}, (BEND_ELBOWS, TURN)
    ),
    "walk": Family(
        {**ARMS_DOWN, "left_knee": (20, 0, 0), "right_knee": (20, 0, 0)},
        (
            {
                "left_hip": (-32, 0, 0),
                "right_hip": (28, 0, 0),
                "right_knee": (20, 0, 0),
                "left_knee": (-18, 0, 0),
                "left_shoulder": (22, 12, 0),
                "right_shoulder": (-22, 12, 0),
            },
            BEND_ELBOWS,
        ),
    ),
    "wave": Family(
        {**ARMS_DOWN, "left_shoulder": (0, 0, 45), "left_collar": (0, 0, 15)},
        ({"left_elbow": (0, -45, 30), "left_shoulder": (0, -25, 15)}, TURN),
    ),
    "sit": Family(
        {
            **ARMS_DOWN,
            "left_hip": (-88, 0, 8),
            "right_hip": (-88, 0, -8),
            "left_knee": (85, 0, 0),
            "right_knee": (85, 0, 0),
        },
        ({"left_knee": (-40, 0, 0), "right_knee": (-40, 0, 0)}, LEAN, ARM_SWING),
    ),
    "squat": Family(
        {
            **ARMS_FORWARD,
            "pelvis": (22, 0, 0),
            "left_hip": (-105, 8, 18),
            "right_hip": (-105, -8, -18),
            "left_knee": (118, 0, 0),
            "right_knee": (118, 0, 0),
            "left_ankle": (-25, 0, 0),
            "right_ankle": (-25, 0, 0),
        },
        ({"left_hip": (18, 0, 0), "right_hip": (18, 0, 0)}, LEAN, ARM_SWING),
    ),
    "kneel": Family(
        {
            **ARMS_DOWN,
            "left_hip": (-80, 0, 5),
            "left_knee": (85, 0, 0),
            "right_hip": (8, 0, -5),
            "right_knee": (95, 0, 0),
            "right_ankle": (30, 0, 0),
        },
        (LEAN, TURN, ARM_SWING),
    ),
    "lie": Family(
        {
            "pelvis": (-88, 0, 0),
            "left_shoulder": (0, 0, -45),
            "right_shoulder": (0, 0, 45),
            "left_hip": (0, 0, 8),
            "right_hip": (0, 0, -8),
        },
        (
            {"left_hip": (-35, 0, 0), "left_knee": (40, 0, 0)},
            {"right_hip": (-35, 0, 0), "right_knee": (40, 0, 0)},
            {"left_shoulder": (0, 0, 45), "right_shoulder": (0, 0, -45)},
        ),
    ),
    "kick": Family(
        {
            **ARMS_DOWN,
            "left_shoulder": (0, 0, -35),
            "right_shoulder": (0, 0, 35),
            "left_hip": (-85, 0, 0),
            "left_knee": (15, 0, 0),
            "spine1": (-12, 0, 0),
        },
        ({"left_hip": (-22, 0, 15)}, ARM_SWING),
    ),
    "handstand": Family({"pelvis": (0, 0, 180), **ARMS_UP}, (STRADDLE, LEAN)),
    "cartwheel": Family(
        {"pelvis": (0, 0, 100), **ARMS_UP, "left_hip": (0, 0, 40), "right_hip": (0, 0, -40)},
        ({"pelvis": (0, 0, 35)}, {"left_hip": (-15, 0, 0), "right_hip": (15, 0, 0)}),
    ),
    "lunge": Family(
        {
            **ARMS_DOWN,
            "left_hip": (-75, 0, 5),
            "left_knee": (80, 0, 0),
            "right_hip": (28, 0, -5),
            "right_knee": (25, 0, 0),
        },
        (LEAN, ARM_SWING),
    ),
    "crawl": Family(
        {
            **ARMS_FORWARD,
            "pelvis": (80, 0, 0),
            "left_hip": (-80, 0, 5),
            "right_hip": (-80, 0, -5),
            "left_knee": (85, 0, 0),
            "right_knee": (85, 0, 0),
            "neck": (-25, 0, 0),
        },
        ({"left_hip": (20, 0, 0), "right_hip": (-20, 0, 0)},),
    ),
}

# lowest and highest angle (deg) about x, y, z of the left side; the right side is its mirror image
LIMITS: Final[Mapping[str, tuple[tuple[float, float], ...]]] = {
    "hip": ((-130, 35), (-40, 40), (-25, 60)),
    "knee": ((0, 150), (-15, 15), (-10, 10)),
    "ankle": ((-35, 45), (-25, 25), (-25, 25)),
    "foot": ((-30, 25), (-10, 10), (-10, 10)),
    "spine1": ((-30, 45), (-30, 30), (-25, 25)),
    "spine2": ((-30, 45), (-30, 30), (-25, 25)),
    "spine3": ((-20, 30), (-25, 25), (-20, 20)),
    "neck": ((-40, 40), (-45, 45), (-30, 30)),
    "head": ((-30, 30), (-35, 35), (-25, 25)),
    "collar": ((-15, 15), (-25, 25), (-20, 30)),
    "shoulder": ((-80, 80), (-110, 60), (-85, 85)),
    "elbow": ((-45, 45), (-145, 5), (-35, 35)),
    "wrist": ((-45, 45), (-30, 30), (-60, 60)),
    "hand": ((-10, 10), (-15, 15), (-30, 30)),
}


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return `options.samples` bodies drawn from FAMILIES.

    Raises InputError for an unknown family, a negative share, or shares that are all 0.
    """
    if unknown := set(options.families) - set(FAMILIES):
        raise InputError(
            f"{name}: no family called {', '.join(sorted(unknown))}; known are {', '.join(FAMILIES)}"
        )
    shares = torch.tensor(list(options.families.values()), dtype=torch.float64)
    if options.samples < 1 or (shares < 0).any() or shares.sum() <= 0:
        raise InputError(
            f"{name}: samples must be positive, and shares of families must not be negative"
        )
    generator = torch.Generator().manual_seed(options.seed)
    drawn = torch.multinomial(shares, options.samples, replacement=True, generator=generator)
    names = list(options.families)
    rotvecs = _draw_poses(names, drawn, options.jitter_deg, generator)
    betas = torch.randn(options.samples, 10, generator=generator) * options.betas_spread
    upright = BodyParams.from_rotvecs(rotvecs, betas.clamp(-3, 3))
    about = About(dataset=name, joints="smpl24", pixels="render", body=body.sha256)
    # samples are drawn independently: each is a person and a sequence of its own
    own = [f"{names[family]}_{row}" for row, family in enumerate(drawn.tolist())]
    return posed_samples(about, upright, options.view, body, generator, own, own)


def joint_limits() -> Float[Tensor, "24 3 2"]:
    """Return the lowest and highest angle (rad) of each joint about each axis; the root is not limited."""
    limits = torch.full((len(JOINTS), 3, 2), math.pi)
    limits[:, :, 0] *= -1
    for joint, low_high in LIMITS.items():
        for side in ("", "left_", "right_"):
            if (full := f"{side}{joint}") in JOINTS:
                values = torch.tensor(low_high).deg2rad()
                if side == "right_":
                    values[1:] = -values[1:].flip(1)
                limits[JOINTS.index(full)] = values
    return limits


def _draw_poses(
    names: list[str], drawn: Int[Tensor, "n"], jitter_deg: float, generator: torch.Generator
) -> Float[Tensor, "n 24 3"]:
    n = len(drawn)
    rotvecs = torch.zeros(n, len(JOINTS), 3)
    for index, name in enumerate(names):
        family, rows = FAMILIES[name], (drawn == index).nonzero()[:, 0]
        poses = _angles(family.mean).expand(len(rows), -1, -1).clone()
        for move in family.moves:
            amount = torch.rand(len(rows), 1, 1, generator=generator) * 2 - 1
            poses += amount * _angles(move)
        rotvecs[rows] = poses
    jitter = torch.randn(n, len(JOINTS), 3, generator=generator) * math.radians(jitter_deg)
    jitter[:, [JOINTS.index(joint) for joint in ("left_hand", "right_hand")]] = 0
    low, high = joint_limits().unbind(-1)
    rotvecs = torch.maximum(torch.minimum(rotvecs + jitter, high), low)
    mirrored = torch.rand(n, generator=generator) < 0.5
    return torch.where(mirrored[:, None, None], mirror_rotvecs(rotvecs), rotvecs)


def _angles(pose: Pose) -> Float[Tensor, "24 3"]:
    angles = torch.zeros(len(JOINTS), 3)
    for joint, rotvec_deg in pose.items():
        angles[JOINTS.index(joint)] = torch.tensor(rotvec_deg, dtype=torch.float32).deg2rad()
    return angles
