"""The lower bounds of `bounds` in half precision, for the matrix units of a GPU.

The bounds hold for any coordinates whose distance from the true ones is known. Coordinates in half precision
are only noisier: their rounding is measured and added to the noise. The first SPLIT coordinates, which are
large, are the sum of two halves, high + low. A row has WIDTH numbers:

    body     high | high, first | low, first | 1 1 1      | bounds, rounded up
    centre   -2 (high | low, first | high, first) | |c|^2 in three halves | -bounds, rounded up

The product of two rows is the lower bound of the score, times `scale`^2.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.clustering.exact.bounds import PAIRWISE, ROUND_UP, Bounds, NearestCentre

WIDTH: Final = 128
N_LEADING_COORDS: Final = 102
SPLIT: Final = 9  # the first coordinates, each in two halves
ONES: Final = N_LEADING_COORDS + 2 * SPLIT
BOUNDS: Final = ONES + 3
# Matrix units truncate their sums, in an order that is not documented. If each of 8 steps of 16 terms loses
# as much as it can, they lose 2^-17 of the sum of absolute terms; the products low times low, which are left
# out, are within the other 2^-17.
GATHERED: Final = 2.0**-16
TYPICAL: Final = 8.0  # the length of a typical body times `scale`
LONGEST: Final = 100.0  # longer bodies are left open: half precision ends at 65504
FARTHEST: Final = 60000.0
LEAST: Final = 2.0**-18  # above what three halves leave out of |c|^2


def scale_of(b: Bounds) -> float:
    """Return the power of two that scales the median length of the bodies to about TYPICAL."""
    middle = float(b.squared.median().sqrt()) if len(b.squared) else 0.0
    return 2.0 ** round(math.log2(TYPICAL / middle)) if middle > 1e-30 else 1.0


@dataclass(frozen=True)
class Halves:
    """Bodies as one factor of the product."""

    rows: Float[Tensor, "b 128"]
    bounds: Float[Tensor, "b 3"]  # the last columns; infinite where the row is not representable

    def __getitem__(self, rows: slice) -> "Halves":
        return Halves(self.rows[rows], self.bounds[rows])

    @property
    def nbytes(self) -> int:
        """Return how much memory the factor takes."""
        return self.rows.nbytes + self.bounds.nbytes


def bodies_in_halves(coordinates: Float[Tensor, "b d"], b: Bounds, scale: float) -> Halves:
    """Return bodies as the factor that `HalfCentreBounds` takes."""
    part = _Rounded(coordinates, b, scale)
    rows = torch.zeros(len(coordinates), WIDTH, dtype=torch.float16, device=coordinates.device)
    _place(rows, part.high, part.high[:, :SPLIT], part.low)
    noise = part.noise + GATHERED * part.length
    columns = _raised(ROUND_UP * torch.stack([part.residual, noise, part.length + part.noise], 1))
    rows[:, BOUNDS : BOUNDS + 3] = columns
    rows.masked_fill_(~part.representable[:, None], 0)
    rows[:, ONES:BOUNDS] = 1
    return Halves(rows, columns.float().masked_fill(~part.representable[:, None], torch.inf))


class HalfCentreBounds:
    """Centres as the other factor; `bounds.CentreBounds` is the same in full precision."""

    def __init__(self, coordinates: Float[Tensor, "k d"], b: Bounds, scale: float) -> None:
        from pmnet.clustering.exact.kernels import CENTRES

        part = _Rounded(coordinates, b, scale)
        whole = b.squared.sqrt() + b.noise
        own = ROUND_UP * (2 * whole * b.noise + (GATHERED + PAIRWISE) * b.squared)
        k = len(coordinates)
        self._scale, self._own = scale, own * scale**2 + LEAST
        rows = coordinates.new_zeros(-(-k // CENTRES) * CENTRES, WIDTH, dtype=torch.float16)
        _place(rows[:k], -2 * part.high, -2 * part.low, -2 * part.high[:, :SPLIT])
        columns = _raised(ROUND_UP * 2 * torch.stack([part.residual, part.length, part.noise], 1))
        rows[:k, BOUNDS : BOUNDS + 3] = -columns
        rows[:k].masked_fill_(~part.representable[:, None], 0)
        # a centre that is not representable may be nearest to any body; rows from k on hold no centre
        rows[:, ONES] = FARTHEST
        bias = (b.squared - own) * scale**2 - LEAST
        bias = bias.masked_fill(~part.representable, -FARTHEST)
        for column in range(ONES, BOUNDS):
            rows[:k, column] = bias
            bias = bias - rows[:k, column]
        self._rows = rows
        self._bounds = coordinates.new_zeros(len(rows), 3)
        self._bounds[:k] = columns.float().masked_fill(~part.representable[:, None], torch.inf)

    def nearest(self, bodies: Halves) -> NearestCentre:
        """Return the centres of the lowest bounds."""
        from pmnet.clustering.exact.kernels import nearest

        which, low, width, is_decided = nearest(
            bodies.rows, bodies.bounds, self._rows, self._bounds, ROUND_UP
        )
        centre = which.long()
        width += 2 * ROUND_UP * self._own[centre]
        return NearestCentre(centre, low / self._scale**2, width / self._scale**2, is_decided)


class _Rounded:
    """Scaled coordinates in half precision, and the bounds that hold for them."""

    def __init__(self, coordinates: Tensor, b: Bounds, scale: float) -> None:
        head = coordinates[:, :N_LEADING_COORDS] * scale
        rest = b.without(coordinates[:, N_LEADING_COORDS:])
        longest = torch.maximum(b.squared.sqrt(), rest.residual + rest.noise)
        self.representable = longest * scale < LONGEST  # False where it is NaN
        head = head.masked_fill(~self.representable[:, None], 0)
        self.high = head.half()
        self.low = (head[:, :SPLIT] - self.high[:, :SPLIT]).half()
        used = self.high.float()
        used[:, :SPLIT] += self.low
        self.length = used.norm(dim=1)
        self.noise = rest.noise * scale + ROUND_UP * (head - used).norm(dim=1)
        self.residual = rest.residual * scale


def _place(rows: Tensor, *parts: Tensor) -> None:
    for begin, part in zip((0, N_LEADING_COORDS, N_LEADING_COORDS + SPLIT), parts, strict=True):
        rows[:, begin : begin + part.shape[1]] = part


def _raised(values: Tensor) -> Tensor:
    """Return the values in half precision, rounded up."""
    return (values * (1 + 2.0**-10) + 2.0**-23).half()
