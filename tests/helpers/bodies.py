"""Random bodies, bodies in a simple pose, and options and embeddings of clusterings."""

import math
from functools import cache
from typing import Any

import torch

from pmnet.body import BodyParams
from pmnet.body.parts import JOINTS, PartWeights, mirror_rotvecs
from pmnet.body.rotations import axis_rotation
from pmnet.clustering.exact.embedding import Embedding, embedding_of
from pmnet.clustering.options import Cluster
from pmnet.memory.spaces import Space


def random_bodies(
    n: int, seed: int = 0, spread: float = 0.4, betas_spread: float = 1.0
) -> BodyParams:
    """Return bodies whose joints turn by about `spread` (rad) about each axis."""
    generator = torch.Generator().manual_seed(seed)
    rotvecs = torch.randn(n, 24, 3, generator=generator) * spread
    return BodyParams.from_rotvecs(rotvecs, torch.randn(n, 10, generator=generator) * betas_spread)


def facing(n: int = 1, **joints_deg: tuple[float, float, float]) -> BodyParams:
    """Return mean bodies upright before the camera, arms out, with the named joints turned."""
    rotvecs = torch.zeros(n, 24, 3)
    for joint, rotvec_deg in joints_deg.items():
        rotvecs[:, JOINTS.index(joint)] = torch.tensor(rotvec_deg).deg2rad()
    params = BodyParams.from_rotvecs(rotvecs, torch.zeros(n, 10))
    flip_y_down = axis_rotation(0, torch.full((1,), math.pi))
    params.rotmats[:, 0] = flip_y_down @ params.rotmats[:, 0]
    return params


def mirrored(params: BodyParams) -> BodyParams:
    """Return the bodies mirrored left to right."""
    return BodyParams.from_rotvecs(mirror_rotvecs(params.rotvecs()), params.betas)


def twins() -> tuple[BodyParams, BodyParams]:
    """Return centres with mirror twins and copies, and as bodies also those between twins."""
    some = random_bodies(12)
    centres = BodyParams.cat([some, mirrored(some), some])
    between = BodyParams(torch.eye(3).repeat(12, 24, 1, 1), some.betas)
    return BodyParams.cat([centres, between]), centres


def options(k: int, **changed: Any) -> Cluster:
    """Return the options of a clustering: 20 iterations at most, no tolerance, one random start."""
    others = {"max_iterations": 20, "tolerance": 0.0, "seed": 0, "init": "random", "restarts": 1}
    others["single"] = "mean"
    weights = PartWeights(torso=1.0, foot=0.5, head=0.3, hand=0.3)
    return Cluster(k=k, limb_weight=5.0, part_weights=weights, **(others | changed))


@cache
def embedding(space: Space) -> Embedding:
    """Return the embedding of a space, learnt once; a space of a test may be its own embedding."""
    return space if isinstance(space, Embedding) else embedding_of(space)
