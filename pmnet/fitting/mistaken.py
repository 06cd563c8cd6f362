"""Points with the label of another, and points that are none of the body's: found by their residual."""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SURE: Final = (
    0.5  # a label is given to a point within this share of the distance that makes it wrong
)


@dataclass(frozen=True)
class Mended:
    """Points after labels were set right; `swapped` points had another's label, `dropped` ones weigh 0."""

    targets: Float[Tensor, "t m 3"]
    weights: Float[Tensor, "t m"]
    swapped: Bool[Tensor, "t m"]
    dropped: Bool[Tensor, "t m"]


def set_right(
    posed: Float[Tensor, "t m 3"],
    targets: Float[Tensor, "t m 3"],
    weights: Float[Tensor, "t m"],
    wrong_m: float,
) -> Mended:
    """Return points (m) with the labels that suit a fitted body (`posed`).

    A point that is `wrong_m` or more from its place takes a free label - that of another wrong point or of a
    missing one - where each is the other's nearest and they are close. All other wrong points are dropped.
    """
    seen = weights > 0
    wrong = seen & ((targets - posed).norm(dim=2) >= wrong_m)
    swapped = torch.zeros_like(wrong)
    targets, weights = targets.clone(), weights.clone()
    rows = wrong.any(1).nonzero()[:, 0]
    if len(rows) == 0:
        return Mended(targets, weights, swapped, wrong)
    far = torch.cdist(targets[rows], posed[rows])  # from each point to each place
    free = wrong[rows] | ~seen[rows]
    far = torch.where(wrong[rows][:, :, None] & free[:, None, :], far, torch.inf)
    place, point = far.argmin(2), far.argmin(1)  # nearest place per point, nearest point per place
    mutual = point.gather(1, place) == torch.arange(far.shape[1], device=far.device)
    near = far.gather(2, place[..., None])[..., 0] <= SURE * wrong_m
    frame, taken = (mutual & near & wrong[rows]).nonzero().unbind(1)
    given = place[frame, taken]
    frame = rows[frame]
    moved = targets[frame, taken], weights[frame, taken]
    weights[wrong] = 0
    targets[frame, given], weights[frame, given] = moved
    swapped[frame, given] = True
    relabelled = torch.zeros_like(wrong)
    relabelled[frame, taken] = True
    return Mended(targets, weights, swapped, wrong & ~relabelled & ~swapped)
