"""Which of two centres is nearer to a body, by coordinates and the gap between the centres.

    |x - c2|^2 - |x - c1|^2 = |c2|^2 - |c1|^2 - 2 x.d,   d = c2 - c1,   x.d = y_x.y_d + e_x.e_d

as in `bounds`, but the coordinates leave out at most |e_x| |e_d|. Two centres that are both near a body are
alike, and so are the parts that their coordinates leave out: |e_d| is about a third of |e_1| + |e_2|, which
`bounds` must allow for. So most pairs that `bounds` leaves open are decided here, without whole points.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.clustering.exact.bounds import PAIRWISE, ROUND_UP, Bounds
from pmnet.clustering.exact.refine import Centres, lengths


def compared(
    centres: Centres,
    coordinates: Float[Tensor, "p d"],
    b: Bounds,
    one: Int[Tensor, "p"],
    two: Int[Tensor, "p"],
) -> tuple[Bool[Tensor, "p"], Bool[Tensor, "p"]]:
    """Return where centre `two` is certainly farther from a body than centre `one`, and where nearer."""
    c, y = centres.bounds, centres.coordinates
    apart = y[two].double() - y[one]
    noise, length = c.noise[one] + c.noise[two], apart.norm(dim=1)
    left_out = (_gap(centres, one, two) ** 2 - (length - noise).clamp_min(0) ** 2).clamp_min(0)
    size = c.squared.sqrt() + c.noise
    own = 2 * size * c.noise + PAIRWISE * c.squared
    x = coordinates.double()
    farther = c.squared[two].double() - c.squared[one] - 2 * (x * apart).sum(1)
    rounding = b.noise * (length + noise) + x.norm(dim=1) * noise
    slack = ROUND_UP * (own[one] + own[two] + 2 * (b.residual * left_out.sqrt() + rounding))
    return farther > slack, farther < -slack


def _gap(centres: Centres, one: Tensor, two: Tensor) -> Float[Tensor, "p"]:
    """Return upper bounds of the distances between centres, by whole points."""
    points, where = centres.whole(torch.cat([one, two]))
    one_at, two_at = where.split(len(one))
    if points.device.type == "cpu":  # the same few pairs of centres come up for many bodies
        pair = torch.minimum(one_at, two_at) * len(points) + torch.maximum(one_at, two_at)
        pairs, place = pair.unique(return_inverse=True)
        gaps = lengths(points, points, pairs // len(points), pairs % len(points))[place]
    else:
        gaps = lengths(points, points, one_at, two_at)
    return gaps * (1 + PAIRWISE) + centres.noise[one] + centres.noise[two]
