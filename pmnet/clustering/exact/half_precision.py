"""Lower bounds of scores from coordinates in half precision: what the matrix units of a GPU are for.

The bounds of `scores` hold for any coordinates whose distance from the true ones is known, so those of
half precision are only noisier: what rounding takes from them is measured and added to the noise. The
leading coordinates, which are large, are kept as a sum of two halves. A row of WIDTH numbers is

    body     high | high, leading | low, leading | 1 1 1      | bounds, rounded up
    centre   -2 (high | low, leading | high, leading) | |c|^2 in three halves | -bounds, rounded up

and the product of two rows is the lower bound of the score, times `scale`^2.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.clustering.exact.bounds import PAIRWISE, ROUND_UP, Bounds, NearestCentre

WIDTH: Final = 128
N_LEADING_COORDS: Final = 102  # coordinates
SPLIT: Final = 9  # of them in two halves
ONES: Final = N_LEADING_COORDS + 2 * SPLIT
BOUNDS: Final = ONES + 3
# Sums of the matrix units are cut off, not rounded, and their order is not known: 2^-17 of the sum of
# the sizes is what 8 steps of 16 terms may lose if each loses as much as it can; and what low times low
# is left out for
GATHERED: Final = 2.0**-16
TYPICAL: Final = 8.0  # a body's length times `scale`
LONGEST: Final = 100.0  # longer ones are left to the next stage: half precision ends at 65504
FARTHEST: Final = 60000.0
LEAST: Final = 2.0**-18  # more than three halves leave of |c|^2


def scale_of(b: Bounds) -> float:
    """Return the power of two that makes these bodies TYPICAL."""
    middle = float(b.squared.median().sqrt()) if len(b.squared) else 0.0
    return 2.0 ** round(math.log2(TYPICAL / middle)) if middle > 1e-30 else 1.0


@dataclass(frozen=True)
class Halves:
    """Bodies as one factor of the product."""

    rows: Float[Tensor, "b 128"]
    bounds: Float[Tensor, "b 3"]  # the last columns; infinite where the row tells nothing

    def __getitem__(self, rows: slice) -> "Halves":
        return Halves(self.rows[rows], self.bounds[rows])

    @property
    def nbytes(self) -> int:
        """Return how much memory they take."""
        return self.rows.nbytes + self.bounds.nbytes


def bodies_in_halves(coordinates: Float[Tensor, "b d"], b: Bounds, scale: float) -> Halves:
    """Return the bodies' factor of the scores."""
    part = _Rounded(coordinates, b, scale)
    rows = torch.zeros(len(coordinates), WIDTH, dtype=torch.float16, device=coordinates.device)
    _place(rows, part.high, part.high[:, :SPLIT], part.low)
    noise = part.noise + GATHERED * part.length
    columns = _raised(ROUND_UP * torch.stack([part.residual, noise, part.length + part.noise], 1))
    rows[:, BOUNDS : BOUNDS + 3] = columns
    rows.masked_fill_(~part.told[:, None], 0)
    rows[:, ONES:BOUNDS] = 1
    return Halves(rows, columns.float().masked_fill(~part.told[:, None], torch.inf))


class HalfCentreBounds:
    """Centres as the other factor; see `scores.Scores`, which is the same in full precision."""

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
        rows[:k].masked_fill_(~part.told[:, None], 0)
        # where a row tells nothing its centre may be nearest to any body; there is none in rows after k
        rows[:, ONES] = FARTHEST
        bias = (b.squared - own) * scale**2 - LEAST
        bias = bias.masked_fill(~part.told, -FARTHEST)
        for column in range(ONES, BOUNDS):
            rows[:k, column] = bias
            bias = bias - rows[:k, column]
        self._rows = rows
        self._bounds = coordinates.new_zeros(len(rows), 3)
        self._bounds[:k] = columns.float().masked_fill(~part.told[:, None], torch.inf)

    def nearest(self, bodies: Halves) -> NearestCentre:
        """Return the centres of the lowest bounds."""
        from pmnet.clustering.exact.kernels import nearest

        which, low, width, alone = nearest(
            bodies.rows, bodies.bounds, self._rows, self._bounds, ROUND_UP
        )
        centre = which.long()
        width += 2 * ROUND_UP * self._own[centre]
        return NearestCentre(centre, low / self._scale**2, width / self._scale**2, alone)


class _Rounded:
    """Scaled coordinates in half precision, and the bounds that hold for them."""

    def __init__(self, coordinates: Tensor, b: Bounds, scale: float) -> None:
        head = coordinates[:, :N_LEADING_COORDS] * scale
        rest = b.without(coordinates[:, N_LEADING_COORDS:])
        longest = torch.maximum(b.squared.sqrt(), rest.residual + rest.noise)
        self.told = longest * scale < LONGEST  # not where it is NaN
        head = head.masked_fill(~self.told[:, None], 0)
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
