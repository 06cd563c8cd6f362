"""Bounds of |x - c|^2 - |x|^2, for many bodies x and centres c, by one matrix product.

A body is x = U y + e: y are its coordinates, e is what they leave out, orthogonal to the columns of U. The
same holds for a centre c. Then

    |x - c|^2 - |x|^2 = |c|^2 - 2 y_x.y_c - 2 e_x.e_c,   |e_x.e_c| <= |e_x| |e_c|  (Cauchy-Schwarz).

This difference is the score of a body and a centre: the nearest centre has the lowest score. `Bounds` holds
|e| and the error n of the computed y and |x|. A float32 product of d terms is off by at most
gamma |y_x| |y_c|, gamma = d u / (1 - d u), in any order of summation. The sum of all these errors is the
product of four numbers of the body (the last is 1) and four of the centre. So one matrix product over d + 4
columns gives the *lower bound* of every score; the upper bound is higher by twice the product of the four.

What the error n rests on is measured, not proven: see VERTEX_NOISE_M in `memory.spaces`.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

ROUND_UP: Final = 1 + 1e-4  # covers the rounding of the bounds themselves
PAIRWISE: Final = 32 * 2.0**-24  # relative rounding of a pairwise sum of float32
UNIT = 2.0**-24  # rounding of one float32 operation
NOTHING = 2.0**-100  # above any float32 that differs from zero in its low bits only
GROUP = 16  # from MANY centres on, the least of each group is found first
MANY = 8 * GROUP
FAR = 1e30  # the score of a row without a centre


@dataclass(frozen=True)
class Bounds:
    """What the coordinates y of a point x leave out. `residual` and `noise` are upper bounds."""

    residual: Float[Tensor, "b"]  # |e|, the length of what y leaves out
    noise: Float[Tensor, "b"]  # error of y, and of the length of x
    squared: Float[Tensor, "b"]  # |x|^2, as computed

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> "Bounds":
        return Bounds(self.residual[rows], self.noise[rows], self.squared[rows])

    @staticmethod
    def cat(parts: "list[Bounds]") -> "Bounds":
        """Return the bounds of several parts, one after the other."""
        columns = zip(*((b.residual, b.noise, b.squared) for b in parts), strict=True)
        return Bounds(*(torch.cat(column) for column in columns))

    def without(self, dropped: Float[Tensor, "b t"]) -> "Bounds":
        """Return the bounds if the `dropped` coordinates are left out, too."""
        residual = (self.residual**2 + dropped.square().sum(1)).sqrt()
        # the error of y may lie in the dropped coordinates
        return Bounds(ROUND_UP * (residual + self.noise), self.noise, self.squared)


def gamma(terms: int) -> float:
    """Return the relative bound on a float32 product of `terms` terms, summed in any order."""
    terms += 8  # the columns of the bounds, and the numbers added to them
    return terms * UNIT / (1 - terms * UNIT)


@dataclass(frozen=True)
class Factor:
    """Bodies as one factor of the product: a column per body, coordinates above bounds."""

    columns: Float[Tensor, "f b"]

    def __getitem__(self, bodies: slice) -> "Factor":
        return Factor(self.columns[:, bodies])

    @property
    def bounds(self) -> Float[Tensor, "4 b"]:
        """Return the rows of the bounds."""
        return self.columns[-4:]

    @property
    def nbytes(self) -> int:
        """Return how much memory the factor takes."""
        return self.columns.nbytes


def factor(coordinates: Float[Tensor, "b d"], b: Bounds) -> Factor:
    """Return bodies as the factor that `CentreBounds` takes."""
    norm = coordinates.norm(dim=1)
    noise = b.noise + gamma(coordinates.shape[1]) * norm
    bounds = ROUND_UP * torch.stack([b.residual, noise, norm + b.noise])
    return Factor(torch.cat([coordinates.T, bounds, torch.ones_like(bounds[:1])]))


@dataclass(frozen=True)
class NearestCentre:
    """The centre with the lowest bound per body; where `is_decided`, no other centre can be nearer."""

    centre: Int[Tensor, "b"]
    low: Float[Tensor, "b"]  # the lower bound of its score
    width: Float[Tensor, "b"]  # from the lower to the upper bound
    is_decided: Bool[Tensor, "b"]


class CentreBounds:
    """Centres as the other factor: the product has a row per centre with its bounds for all bodies.

    Minima over centres go down the columns, so that whole rows are compared at a time.
    """

    def __init__(self, coordinates: Float[Tensor, "k d"], b: Bounds) -> None:
        norm, whole = coordinates.norm(dim=1), b.squared.sqrt() + b.noise
        rounding = gamma(coordinates.shape[1]) + PAIRWISE
        own = ROUND_UP * (2 * whole * b.noise + rounding * b.squared)
        bounds = ROUND_UP * 2 * torch.stack([b.residual, norm, b.noise])
        self._widths = torch.cat([bounds, own[None]])
        rows = torch.cat([-2 * coordinates, -bounds.T, (b.squared - own)[:, None]], 1)
        self._count = len(rows)
        if self._count > MANY:  # fill up the last group
            rows = torch.nn.functional.pad(rows, (0, 0, 0, -self._count % GROUP))
            rows[self._count :, -1] = FAR
        self._factor = rows
        self._buffer = rows.new_empty(0)

    def low(self, bodies: Factor) -> Float[Tensor, "k b"]:
        """Return the lower bounds of all scores."""
        return self._factor[: self._count] @ bodies.columns

    def _product(self, bodies: Factor, centres: int) -> Float[Tensor, "c b"]:
        """Return the bounds of the first `centres`; on a CPU the next call overwrites them."""
        factor, count = self._factor[:centres], bodies.columns.shape[1]
        if factor.device.type != "cpu":  # torch keeps the memory of a GPU for reuse
            return factor @ bodies.columns
        if len(self._buffer) < centres * count:
            self._buffer = factor.new_empty(centres * count)
        product = self._buffer[: centres * count].view(centres, count)
        return torch.mm(factor, bodies.columns, out=product)

    def compare(
        self, bodies: Factor
    ) -> tuple[NearestCentre, Float[Tensor, "k b"], Float[Tensor, "b"]]:
        """Return the nearest centres, how far above their bound all bounds lie, and the reach.

        A centre that lies above by no more than the reach may be nearer.
        """
        row, least, above, second = _least(self._product(bodies, self._count))
        nearest, reach = self._nearest(bodies, row, least, second)
        return nearest, above, reach

    def nearest(self, bodies: Factor) -> NearestCentre:
        """Return the centres of the lowest bounds."""
        if self._count <= MANY:
            return self.compare(bodies)[0]
        low = self._product(bodies, len(self._factor)).unflatten(0, (-1, GROUP))
        group, least, _, second = _least(low.amin(1))
        inside, _, _, other = _least(low.gather(0, group.expand(1, GROUP, -1))[0])
        second = torch.minimum(second, other)
        return self._nearest(bodies, group * GROUP + inside, least, second)[0]

    def rivals(self, bodies: Factor) -> tuple[NearestCentre, Int[Tensor, "p"], Tensor]:
        """Return the nearest centres, and pairs: each undecided body with every centre in its reach."""
        nearest, above, reach = self.compare(bodies)
        unsure = (~nearest.is_decided).nonzero()[:, 0]
        near = reach[unsure, None] >= above[:, unsure].T
        body, centre = near.nonzero(as_tuple=True)
        return nearest, unsure[body], centre

    def _nearest(
        self, bodies: Factor, row: Tensor, least: Tensor, second: Tensor
    ) -> tuple[NearestCentre, Float[Tensor, "b"]]:
        """Return the centres of these rows, and the reach; the next bound is higher by `second`."""
        width = (self._widths.index_select(1, row) * bodies.bounds).sum(0).mul_(2 * ROUND_UP)
        reach = width * (1 + 2.0 ** (_bits(self._count) - 22)) + NOTHING
        return NearestCentre(row, least, width, second > reach), reach


def _bits(count: int) -> int:
    """Return how many bits the index of one of `count` rows takes."""
    return max(count - 1, 0).bit_length()


def _least(values: Float[Tensor, "k b"]) -> tuple[Int[Tensor, "b"], Tensor, Tensor, Tensor]:
    """Return per column: the row of the least value, the least, the rest above it, the least of the rest.

    `values` is overwritten: each value becomes its difference from the least of its column, infinite for
    the least itself. The low bits of a difference hold the index of its row, so one minimum over a column
    gives the row, too; the reach of `_nearest` allows for the lost bits.
    """
    bits = _bits(len(values))
    numbers = torch.arange(len(values), dtype=torch.int32, device=values.device)
    least = values.amin(0)
    packed = values.sub_(least).view(torch.int32)
    packed.bitwise_and_(-1 << bits).bitwise_or_(numbers[:, None])
    row = (packed.amin(0) & ((1 << bits) - 1)).long()
    values.scatter_(0, row[None], torch.inf)
    return row, least, values, values.amin(0)
