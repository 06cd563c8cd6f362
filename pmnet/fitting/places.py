"""Where the markers of a subject lie on its skin, given its body in some frames."""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.fitting.observations import Positions
from pmnet.fitting.points import BodyPoints
from pmnet.fitting.solver import Placed

ACROSS: Final = (
    0.2  # a marker's distance from the skin is this much less free than its place along it
)


def best_shifts(
    body: BodyModel,
    points: BodyPoints,
    placed: Placed,
    seen: Positions,
    normals: Float[Tensor, "m 3"],
    spread_m: float,
) -> Float[Tensor, "m 3"]:
    """Return the shifts (m, on the unposed body) of points that explain best what was seen.

    A shift d moves a posed point by B d, where B is the blend of its joints' rotations. Shifts have a
    normal prior: `spread_m` along the skin, a fifth of that across it.
    """
    rotations = body.skeleton(placed.params)[0]
    weighed = rotations[:, points.joint] * points.weight[:, None, None]  # b e 3 3
    blend = torch.einsum("beij,em->bmij", weighed, points.to_points)
    off = seen.targets - points.posed(body, placed.params) - placed.translation[:, None]
    robust = seen.at(seen.targets - off)[2]
    eye = torch.eye(3).to(normals)
    across = normals[:, :, None] * normals[:, None]
    prior = (eye - across) / spread_m**2 + across / (ACROSS * spread_m) ** 2
    matrix = torch.einsum("bmki,bm,bmkj->mij", blend, robust, blend) + prior
    right = torch.einsum("bmki,bm,bmk->mi", blend, robust, off)
    return torch.linalg.solve(matrix, right[..., None])[..., 0]
