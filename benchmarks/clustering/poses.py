"""The bodies of the benchmark: real motion capture where there is some, else random poses."""

import math
from pathlib import Path

import numpy as np
import torch

from pmnet.body import BodyParams
from pmnet.body.parts import mirror_rotvecs
from pmnet.body.rotations import axis_rotation, rotmat_to_rotvec, rotvec_to_rotmat
from pmnet.clustering.exact.projection import random_bodies

TURNS, TURN_RAD, BETAS_SPREAD = 997, 0.03, 0.1
GOLDEN = (5**0.5 - 1) / 2


class Varied:
    """More bodies than are given: each is a given one, seen from another side and changed a little.

    A body depends on its row alone, so any rows can be made at any time, on the device of the given ones.
    """

    def __init__(self, given: BodyParams, count: int) -> None:
        self._given, self._count = given, count
        generator = torch.Generator().manual_seed(0)
        turns = torch.randn(TURNS, 24, 3, generator=generator) * TURN_RAD
        betas = torch.randn(TURNS, 10, generator=generator) * BETAS_SPREAD
        self._changes = BodyParams.from_rotvecs(turns, betas).to(given.betas.device)

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def __getitem__(self, rows: torch.Tensor | slice) -> BodyParams:
        """Return the bodies of some rows."""
        if isinstance(rows, slice):
            rows = torch.arange(*rows.indices(self._count), device=self._given.betas.device)
        base, change = self._given[rows % len(self._given)], self._changes[rows % TURNS]
        rotmats = _product(change.rotmats, base.rotmats)
        yaw = axis_rotation(1, (rows.double() * GOLDEN % 1).float() * 2 * math.pi)
        rotmats[:, 0] = _product(yaw, rotmats[:, 0])
        return BodyParams(rotmats, base.betas + change.betas)


def _product(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return products of many small matrices, for which a GPU's library is slow."""
    return (first[..., None] * second[..., None, :, :]).sum(-2)


def bodies(folder: Path | None, count: int) -> BodyParams:
    """Return `count` bodies before a camera (y down): clips of AMASS's layout and their mirror images.

    Each view of a pose is from another side (yaw). At most as many views are made as `count` needs.
    Without a folder, or where it holds no clip, the poses are random.
    """
    files = sorted(folder.rglob("*.npz")) if folder else []
    if not files:
        return random_bodies(count)
    clips = [np.load(file) for file in files]
    rotvecs = torch.from_numpy(np.concatenate([clip["poses"][:, :66] for clip in clips])).float()
    rotvecs = torch.cat([rotvecs, torch.zeros(len(rotvecs), 6)], 1).view(-1, 24, 3)
    betas = np.concatenate([np.tile(clip["betas"][:10], (len(clip["poses"]), 1)) for clip in clips])
    # from z up to the camera's y down
    quarter, half = torch.tensor(-math.pi / 2), torch.tensor(math.pi)
    turn = axis_rotation(0, half) @ axis_rotation(0, quarter)
    rotvecs[:, 0] = rotmat_to_rotvec(turn @ rotvec_to_rotmat(rotvecs[:, 0]))
    rotvecs = torch.cat([rotvecs, mirror_rotvecs(rotvecs)])
    both = torch.from_numpy(betas).float().repeat(2, 1)
    generator = torch.Generator().manual_seed(0)
    views = []
    for _ in range(-(-count // len(rotvecs))):
        yaw = torch.rand(len(rotvecs), generator=generator) * 2 * math.pi
        seen = BodyParams.from_rotvecs(rotvecs, both)
        seen.rotmats[:, 0] = axis_rotation(1, yaw) @ seen.rotmats[:, 0]
        views.append(seen)
    every = BodyParams.cat(views)
    return every[torch.randperm(len(every), generator=generator)[:count]]
