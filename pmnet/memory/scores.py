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
NOTHING = 2.0**-100  # more than the low bits of a zero


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
    """Centres as the other factor of the product.

    A row is a centre's scores: what is looked for among centres goes through whole rows at a time.
    """

    def __init__(self, coordinates: Float[Tensor, "k d"], b: Bounds) -> None:
        norm, whole = coordinates.norm(dim=1), b.squared.sqrt() + b.noise
        rounding = gamma(coordinates.shape[1]) + PAIRWISE
        own = UP * (2 * whole * b.noise + rounding * b.squared)
        bound = UP * 2 * torch.stack([b.residual, norm, b.noise], 1)
        self._widths = torch.cat([bound, own[:, None]], 1)
        self._bias = (b.squared - own)[:, None]
        self._factor = torch.cat([2 * coordinates, bound], 1)
        self._numbers = torch.arange(len(norm), dtype=torch.int32, device=norm.device)[:, None]
        self._bits = max(len(norm) - 1, 0).bit_length()

    def low(self, bodies: Float[Tensor, "b f"]) -> Float[Tensor, "k b"]:
        """Return lower bounds of all scores; `bodies` is their `factor`."""
        return torch.addmm(self._bias, self._factor, bodies.T, alpha=-1)

    def nearest(self, bodies: Float[Tensor, "b f"]) -> Nearest:
        """Return the centres of the lowest bounds; `bodies` is their `factor`."""
        return self._nearest(bodies)[0]

    def rivals(self, bodies: Float[Tensor, "b f"]) -> tuple[Nearest, Int[Tensor, "p"], Tensor]:
        """Return the same, and pairs: the bodies that are not settled, with each other near centre."""
        found, above, reach = self._nearest(bodies)
        unsure = (~found.alone).nonzero()[:, 0]
        near = reach[unsure, None] >= above[:, unsure].T
        body, centre = near.nonzero(as_tuple=True)
        return found, unsure[body], centre

    def _nearest(
        self, bodies: Float[Tensor, "b f"]
    ) -> tuple[Nearest, Float[Tensor, "k b"], Float[Tensor, "b"]]:
        """Return the nearest, how far above its bound those of others are, and up to where they matter.

        The low bits of how far say of which centre it is, so that the least of them does.
        """
        above = self.low(bodies)
        least = above.amin(0)
        packed = above.sub_(least).view(torch.int32)
        packed.bitwise_and_(-1 << self._bits).bitwise_or_(self._numbers)
        nearest = (packed.amin(0) & ((1 << self._bits) - 1)).long()
        widths = self._widths.index_select(0, nearest)
        width = (bodies[:, -3:] * widths[:, :3]).sum(1).add_(widths[:, 3]).mul_(2 * UP)
        reach = width * (1 + 2.0 ** (self._bits - 22)) + NOTHING
        above.scatter_(0, nearest[None], torch.inf)
        return Nearest(nearest, least, width, above.amin(0) > reach), above, reach
