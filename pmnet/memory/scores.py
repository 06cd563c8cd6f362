"""Bounds of |x - c|^2 - |x|^2, for many bodies x and centres c, by one matrix product.

With x = U y + e, e orthogonal to U, for a body and c likewise for a centre,

    |x - c|^2 - |x|^2 = |c|^2 - 2 y_x.y_c - 2 e_x.e_c,   |e_x.e_c| <= |e_x| |e_c|  (Cauchy-Schwarz).

`Bounds` holds |e| and the error n of the computed y and |x|; a float32 product of d terms is off by at
most gamma |y_x| |y_c|, gamma = d u / (1 - d u), in any order of summation. All this adds up to a product of
three numbers of the body with three of the centre, so that one matrix product gives the *lower bound* of
every score, and the lower bound plus twice that product the upper one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.memory.space import PAIRWISE, UP, Bounds

UNIT = 2.0**-24  # rounding of one float32 operation


def gamma(terms: int) -> float:
    """Return the bound on the rounding of a float32 product of so many terms, summed in any order."""
    terms += 8  # the terms of the bounds, and what is added
    return terms * UNIT / (1 - terms * UNIT)


def factor(coordinates: Float[Tensor, "b d"], b: Bounds) -> Float[Tensor, "b d+3"]:
    """Return the bodies' factor of the product of `Scores`: coordinates, and their bounds."""
    norm = coordinates.norm(dim=1)
    noise = b.noise + gamma(coordinates.shape[1]) * norm
    bounds = torch.stack([b.residual, noise, norm + b.noise], 1)
    return torch.cat([coordinates, UP * bounds], 1)


@dataclass(frozen=True)
class Nearest:
    """The centre of the lowest bound of each body, and where no other can be nearer."""

    centre: Int[Tensor, "b"]
    low: Float[Tensor, "b"]
    width: Float[Tensor, "b"]  # from the lower to the upper bound
    alone: Bool[Tensor, "b"]


class Scores:
    """Centres as the other factor of the product."""

    def __init__(self, coordinates: Float[Tensor, "k d"], b: Bounds) -> None:
        norm, whole = coordinates.norm(dim=1), b.squared.sqrt() + b.noise
        rounding = gamma(coordinates.shape[1]) + PAIRWISE
        self._own = UP * (2 * whole * b.noise + rounding * b.squared)
        self._bound = UP * 2 * torch.stack([b.residual, norm, b.noise], 1)
        self._bias = b.squared - self._own
        self._factor = torch.cat([2 * coordinates, self._bound], 1).T.contiguous()

    def low(self, bodies: Float[Tensor, "b f"]) -> Float[Tensor, "b k"]:
        """Return lower bounds of all scores; `bodies` is their `factor`."""
        return torch.addmm(self._bias, bodies, self._factor, alpha=-1)

    def nearest(self, bodies: Float[Tensor, "b f"]) -> Nearest:
        """Return the centres of the lowest bounds; `bodies` is their `factor`."""
        return self._nearest(bodies)[0]

    def rivals(self, bodies: Float[Tensor, "b f"]) -> tuple[Nearest, Int[Tensor, "p"], Tensor]:
        """Return the same, and pairs: the bodies that are not settled, with each other near centre."""
        found, others = self._nearest(bodies)
        unsure = (~found.alone).nonzero()[:, 0]
        high = (found.low + found.width)[unsure]
        body, centre = (others[unsure] <= high[:, None]).nonzero(as_tuple=True)
        return found, unsure[body], centre

    def _nearest(self, bodies: Tensor) -> tuple[Nearest, Float[Tensor, "b k"]]:
        low = self.low(bodies)
        least, nearest = low.min(1)
        width = (bodies[:, -3:] * self._bound[nearest]).sum(1).add_(self._own[nearest])
        width *= 2 * UP
        low.scatter_(1, nearest[:, None], torch.inf)
        return Nearest(nearest, least, width, low.amin(1) > least + width), low
