"""Bounds of |x - c|^2 - |x|^2, for many bodies x and centres c, by one matrix product.

With x = U y + e, e orthogonal to U, for a body and c likewise for a centre,

    |x - c|^2 - |x|^2 = |c|^2 - 2 y_x.y_c - 2 e_x.e_c,   |e_x.e_c| <= |e_x| |e_c|  (Cauchy-Schwarz).

`Bounds` holds |e| and the error n of the computed y and |x|; a float32 product of d terms is off by at
most gamma |y_x| |y_c|, gamma = d u / (1 - d u), in any order of summation. All this adds up to a product of
four numbers of the body (the last is 1) with four of the centre, so that one matrix product gives the *lower
bound* of every score, and the lower bound plus twice the product of the four the upper one.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

ROUND_UP: Final = 1 + 1e-4  # more than the rounding of the bounds themselves
PAIRWISE: Final = 32 * 2.0**-24  # relative rounding of a pairwise sum of float32
UNIT = 2.0**-24  # rounding of one float32 operation
NOTHING = 2.0**-100  # more than the low bits of a zero
GROUP = 16  # centres of which one stands for all at first, where there are MANY
MANY = 8 * GROUP
FAR = 1e30  # the score of no centre


@dataclass(frozen=True)
class Bounds:
    """What the coordinates y of a point x do not tell; all are upper bounds but `squared`."""

    residual: Float[Tensor, "b"]  # length of the part of x outside of the projection
    noise: Float[Tensor, "b"]  # error of y, and of the length of x
    squared: Float[Tensor, "b"]  # |x|^2 as computed

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> "Bounds":
        return Bounds(self.residual[rows], self.noise[rows], self.squared[rows])

    @staticmethod
    def cat(parts: "list[Bounds]") -> "Bounds":
        """Return the bounds of all parts, in order."""
        columns = zip(*((b.residual, b.noise, b.squared) for b in parts), strict=True)
        return Bounds(*(torch.cat(column) for column in columns))

    def without(self, dropped: Float[Tensor, "b t"]) -> "Bounds":
        """Return the bounds where these coordinates are left out too."""
        residual = (self.residual**2 + dropped.square().sum(1)).sqrt()
        # the noise of y may be in what is dropped
        return Bounds(ROUND_UP * (residual + self.noise), self.noise, self.squared)


def gamma(terms: int) -> float:
    """Return the bound on the rounding of a float32 product of so many terms, summed in any order."""
    terms += 8  # the terms of the bounds, and what is added
    return terms * UNIT / (1 - terms * UNIT)


@dataclass(frozen=True)
class Factor:
    """Bodies as one factor of the product: coordinates and bounds."""

    columns: Float[Tensor, "f b"]

    def __getitem__(self, bodies: slice) -> "Factor":
        return Factor(self.columns[:, bodies])

    @property
    def bounds(self) -> Float[Tensor, "4 b"]:
        """Return the bounds alone."""
        return self.columns[-4:]

    @property
    def nbytes(self) -> int:
        """Return how much memory they take."""
        return self.columns.nbytes


def factor(coordinates: Float[Tensor, "b d"], b: Bounds) -> Factor:
    """Return bodies as a factor of the product of `CentreBounds`."""
    norm = coordinates.norm(dim=1)
    noise = b.noise + gamma(coordinates.shape[1]) * norm
    bounds = ROUND_UP * torch.stack([b.residual, noise, norm + b.noise])
    return Factor(torch.cat([coordinates.T, bounds, torch.ones_like(bounds[:1])]))


@dataclass(frozen=True)
class NearestCentre:
    """The centre of the lowest bound of each body, and where no other can be nearer."""

    centre: Int[Tensor, "b"]
    low: Float[Tensor, "b"]
    width: Float[Tensor, "b"]  # from the lower to the upper bound
    is_decided: Bool[Tensor, "b"]


class CentreBounds:
    """Centres as the other factor of the product.

    A row is a centre's scores: what is looked for among centres goes through whole rows at a time.
    """

    def __init__(self, coordinates: Float[Tensor, "k d"], b: Bounds) -> None:
        norm, whole = coordinates.norm(dim=1), b.squared.sqrt() + b.noise
        rounding = gamma(coordinates.shape[1]) + PAIRWISE
        own = ROUND_UP * (2 * whole * b.noise + rounding * b.squared)
        bounds = ROUND_UP * 2 * torch.stack([b.residual, norm, b.noise])
        self._widths = torch.cat([bounds, own[None]])
        rows = torch.cat([-2 * coordinates, -bounds.T, (b.squared - own)[:, None]], 1)
        self._count = len(rows)
        if self._count > MANY:  # whole groups
            rows = torch.nn.functional.pad(rows, (0, 0, 0, -self._count % GROUP))
            rows[self._count :, -1] = FAR
        self._factor = rows
        self._room = rows.new_empty(0)

    def low(self, bodies: Factor) -> Float[Tensor, "k b"]:
        """Return lower bounds of all scores."""
        return self._factor[: self._count] @ bodies.columns

    def _product(self, bodies: Factor, centres: int) -> Float[Tensor, "c b"]:
        """Return those of the first centres, in memory that the next call takes again (on a CPU)."""
        factor, count = self._factor[:centres], bodies.columns.shape[1]
        if factor.device.type != "cpu":  # there memory that is new costs nothing
            return factor @ bodies.columns
        if len(self._room) < centres * count:
            self._room = factor.new_empty(centres * count)
        room = self._room[: centres * count].view(centres, count)
        return torch.mm(factor, bodies.columns, out=room)

    def compare(
        self, bodies: Factor
    ) -> tuple[NearestCentre, Float[Tensor, "k b"], Float[Tensor, "b"]]:
        """Return the nearest, how far above its bound those of others are, and up to where they matter."""
        nearest, least, above, second = _least(self._product(bodies, self._count))
        found, reach = self._found(bodies, nearest, least, second)
        return found, above, reach

    def nearest(self, bodies: Factor) -> NearestCentre:
        """Return the centres of the lowest bounds."""
        if self._count <= MANY:
            return self.compare(bodies)[0]
        low = self._product(bodies, len(self._factor)).unflatten(0, (-1, GROUP))
        group, least, _, second = _least(low.amin(1))
        inside, _, _, other = _least(low.gather(0, group.expand(1, GROUP, -1))[0])
        return self._found(bodies, group * GROUP + inside, least, torch.minimum(second, other))[0]

    def rivals(self, bodies: Factor) -> tuple[NearestCentre, Int[Tensor, "p"], Tensor]:
        """Return the same, and pairs: the bodies that are not settled, with each other near centre."""
        found, above, reach = self.compare(bodies)
        unsure = (~found.is_decided).nonzero()[:, 0]
        near = reach[unsure, None] >= above[:, unsure].T
        body, centre = near.nonzero(as_tuple=True)
        return found, unsure[body], centre

    def _found(
        self, bodies: Factor, nearest: Tensor, least: Tensor, second: Tensor
    ) -> tuple[NearestCentre, Float[Tensor, "b"]]:
        """Return the nearest, given how far above its bound the next one is; up to where others matter."""
        width = (self._widths.index_select(1, nearest) * bodies.bounds).sum(0).mul_(2 * ROUND_UP)
        reach = width * (1 + 2.0 ** (_bits(self._count) - 22)) + NOTHING
        return NearestCentre(nearest, least, width, second > reach), reach


def _bits(count: int) -> int:
    """Return the bits that tell so many rows apart."""
    return max(count - 1, 0).bit_length()


def _least(values: Float[Tensor, "k b"]) -> tuple[Int[Tensor, "b"], Tensor, Tensor, Tensor]:
    """Return the row of the least of each column, the least, how far others are above, the next one.

    `values` become how far they are above. Their low bits say of which row they are, so that the least of
    them does; that of the least itself is infinite.
    """
    bits = _bits(len(values))
    numbers = torch.arange(len(values), dtype=torch.int32, device=values.device)
    least = values.amin(0)
    packed = values.sub_(least).view(torch.int32)
    packed.bitwise_and_(-1 << bits).bitwise_or_(numbers[:, None])
    row = (packed.amin(0) & ((1 << bits) - 1)).long()
    values.scatter_(0, row[None], torch.inf)
    return row, least, values, values.amin(0)
