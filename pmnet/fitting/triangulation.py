"""Points in space from their pixels in several cameras (direct linear transform), without wrong views.

With two views or more, a point x solves (u P_3 - P_1) x = 0 and (v P_3 - P_2) x = 0 per view (Hartley and
Zisserman 2004, 12.2). Weights are confidences; a second solution divides the rows by the depths of the first,
which makes the sum that of squared distances in px. A view is wrong where the point that most pairs of views
agree on lies far from its pixel: all pairs are tried, so that the result depends on no draw.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LEAST_RAYS: Final = 1e-4  # smallest eigenvalue over the largest: 1 degree between two rays
NEAREST_M: Final = 0.05  # of a point from a camera that sees it


@dataclass(frozen=True)
class Triangulated:
    """B x M points (m), NaN where fewer than two views agree; the views that were used, and their errors.

    `error_px` is the distance in each view of the point from its pixel, NaN where the view does not see it.
    """

    points: Float[Tensor, "b m 3"]
    used: Bool[Tensor, "b v m"]
    error_px: Float[Tensor, "b v m"]


def triangulate(
    pixels: Float[Tensor, "b v m 2"],
    weights: Float[Tensor, "b v m"],
    projections: Float[Tensor, "v 3 4"],
    wrong_px: float,
) -> Triangulated:
    """Return the points whose pixels (without distortion) these are; a weight of 0 marks unseen pixels.

    `projections` are K [R | t]. A view whose pixel lies `wrong_px` or more from the point is not used.
    """
    dtype = pixels.dtype
    pixels = torch.where(weights[..., None] > 0, pixels, 0).double()
    weights, projections = weights.double(), projections.double()
    agreed, fewest = _agreeing(pixels, weights, projections, wrong_px), 2
    points = _solved(pixels, weights * agreed, projections)
    off = _distances(points, pixels, projections)
    # the mean of several views may lie beyond the limit of one
    used = agreed & (off < wrong_px)
    points = _solved(pixels, weights * used, projections)
    known = (used.sum(1) >= fewest) & points.isfinite().all(2)
    points = torch.where(known[..., None], points, torch.nan)
    off = torch.where(weights > 0, _distances(points, pixels, projections), torch.nan)
    return Triangulated(points.to(dtype), used & known[:, None], off.to(dtype))


def _agreeing(
    pixels: Float[Tensor, "b v m 2"],
    weights: Float[Tensor, "b v m"],
    projections: Float[Tensor, "v 3 4"],
    wrong_px: float,
) -> Bool[Tensor, "b v m"]:
    """Return the views that agree with the pair of views that most agree with."""
    seen = weights > 0
    best = torch.zeros_like(seen)
    best_score = weights.new_full((len(weights), weights.shape[2]), -1.0)
    for pair in combinations(range(len(projections)), 2):
        own = torch.zeros_like(weights)
        own[:, pair] = weights[:, pair]
        off = _distances(_solved(pixels, own, projections, rounds=1), pixels, projections)
        near = seen & (off < wrong_px)
        # many views, then small distances
        score = (near * (1 - 0.5 * (off / wrong_px).nan_to_num(1.0).clamp(max=1))).sum(1)
        score = torch.where(near[:, pair].all(1), score, -1)
        better = score > best_score
        best = torch.where(better[:, None], near, best)
        best_score = torch.where(better, score, best_score)
    return best


def _solved(
    pixels: Float[Tensor, "b v m 2"],
    weights: Float[Tensor, "b v m"],
    projections: Float[Tensor, "v 3 4"],
    rounds: int = 2,
) -> Float[Tensor, "b m 3"]:
    """Return points by weighted least squares; NaN where the rays do not determine a point."""
    rows = projections[None, :, None, :2] - pixels[..., None] * projections[None, :, None, 2:]
    focal = projections[:, :2, :3].norm(dim=-1).mean(1)[None, :, None]
    scaled = weights / focal**2
    points = torch.empty(0)
    for round_ in range(rounds):
        if round_ > 0:
            depth = _projected(points, projections)[1].clamp(min=NEAREST_M)
            scaled = torch.nan_to_num(weights / (focal * depth) ** 2)
        left, right = rows[..., :3], -rows[..., 3:]
        matrix = torch.einsum("bvm,bvmki,bvmkj->bmij", scaled, left, left)
        vector = torch.einsum("bvm,bvmki,bvmkj->bmij", scaled, left, right)
        spread = torch.linalg.eigvalsh(matrix)
        clear = spread[..., 0] > LEAST_RAYS * spread[..., 2]
        eye = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
        matrix = torch.where(clear[..., None, None], matrix, eye)
        points = torch.linalg.solve(matrix, vector)[..., 0]
        points = torch.where(clear[..., None], points, torch.nan)
    return points


def _projected(
    points: Float[Tensor, "b m 3"], projections: Float[Tensor, "v 3 4"]
) -> tuple[Float[Tensor, "b v m 2"], Float[Tensor, "b v m"]]:
    turned = torch.einsum("vij,bmj->bvmi", projections[..., :3], points)
    turned = turned + projections[:, None, :, 3]
    return turned[..., :2] / turned[..., 2:], turned[..., 2]


def _distances(
    points: Float[Tensor, "b m 3"],
    pixels: Float[Tensor, "b v m 2"],
    projections: Float[Tensor, "v 3 4"],
) -> Float[Tensor, "b v m"]:
    """Return distances in px; infinite behind a camera, NaN where there is no point."""
    seen, depth = _projected(points, projections)
    return torch.where(depth > NEAREST_M, (seen - pixels).norm(dim=3), depth * 0 + torch.inf)
