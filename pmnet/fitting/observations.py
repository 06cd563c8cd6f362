"""What was seen of points: 3D positions, and pixels in calibrated cameras.

An observation turns points (m) into a cost, its gradient, and a 3 x 3 information matrix per point (or one
number, where it is a multiple of the identity), all that Gauss-Newton needs of it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


def geman_mcclure(
    squared: Float[Tensor, "*b"], scale_squared: float
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """Return the robust loss r^2 / (1 + r^2 / c^2) and the weight that its slope gives r; c = 0: r^2, 1."""
    if scale_squared == 0:
        return squared, torch.ones_like(squared)
    share = 1 / (1 + squared / scale_squared)
    return squared * share, share * share


@dataclass(frozen=True)
class Positions:
    """3D positions (m) of points, with a weight of 0 where a point is missing.

    `information` (m^-2) is 1 / noise^2; `robust` the scale of the robust loss in m, 0 for none.
    `expected` and `pull` (m^-2) are positions that points are drawn to without a robust loss, such as those
    that neighbouring frames give.
    """

    targets: Float[Tensor, "b m 3"]
    weights: Float[Tensor, "b m"]
    information: float
    robust: float
    expected: Float[Tensor, "b m 3"] | None = None
    pull: float = 0.0

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def count(self) -> Float[Tensor, "b"]:
        """Return how many numbers were observed per frame."""
        return 3 * (self.weights > 0).sum(1).to(self.weights)

    def select(self, rows: Int[Tensor, "n"] | slice) -> "Positions":
        """Return the observation of some frames."""
        expected = None if self.expected is None else self.expected[rows]
        parts = self.targets[rows], self.weights[rows]
        return Positions(*parts, self.information, self.robust, expected, self.pull)

    def at(
        self, points: Float[Tensor, "b m 3"]
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b m 3"], Float[Tensor, "b m"]]:
        """Return cost, gradient and information; see `Observation`."""
        off = points - self.targets
        squared = (off * off).sum(2)
        loss, share = geman_mcclure(squared, self.robust**2)
        scaled = self.weights * self.information
        cost = 0.5 * (scaled * loss).sum(1)
        information = scaled * share
        gradient = information[..., None] * off
        if self.expected is not None and self.pull > 0:
            away = points - self.expected
            cost = cost + 0.5 * self.pull * (away * away).sum((1, 2))
            gradient = gradient + self.pull * away
            information = information + self.pull
        return cost, gradient, information


@dataclass(frozen=True)
class Pixels:
    """Pixels of points in V calibrated cameras without distortion: depth (u, v, 1)^T = P (x, y, z, 1)^T.

    `projections` are P = K [R | t] with t in m, (V, 3, 4) for all frames or (B, V, 3, 4); `weights` are 0
    where a point is not seen. `information` (px^-2) is 1 / noise^2; `robust` the scale of the robust loss in
    px, 0 for none.
    """

    targets: Float[Tensor, "b v m 2"]
    weights: Float[Tensor, "b v m"]
    projections: Float[Tensor, "*b v 3 4"]
    information: float
    robust: float

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def count(self) -> Float[Tensor, "b"]:
        """Return how many numbers were observed per frame."""
        return 2 * (self.weights > 0).sum((1, 2)).to(self.weights)

    def select(self, rows: Int[Tensor, "n"] | slice) -> "Pixels":
        """Return the observation of some frames."""
        parts = self.targets[rows], self.weights[rows]
        cameras = self.projections if self.projections.ndim == 3 else self.projections[rows]
        return Pixels(*parts, cameras, self.information, self.robust)

    def at(
        self, points: Float[Tensor, "b m 3"]
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b m 3"], Float[Tensor, "b m 3 3"]]:
        """Return cost, gradient and information; see `Observation`."""
        seen, depth = self.project(points)
        off = seen - self.targets
        squared = (off * off).sum(3)
        loss, share = geman_mcclure(squared, self.robust**2)
        scaled = self.weights * self.information
        cost = 0.5 * (scaled * loss).sum((1, 2))
        # d(u, v)/dx = (P_12 - (u, v) P_3) / depth
        turns = self._by_frame[:, :, None, :, :3]
        slope = (turns[..., :2, :] - seen[..., None] * turns[..., 2:, :]) / depth[..., None, None]
        pulled = slope.mT * (scaled * share)[..., None, None]
        gradient = (pulled @ off[..., None])[..., 0].sum(1)
        return cost, gradient, (pulled @ slope).sum(1)

    @property
    def _by_frame(self) -> Float[Tensor, "c v 3 4"]:
        return self.projections if self.projections.ndim == 4 else self.projections[None]

    def project(
        self, points: Float[Tensor, "b m 3"]
    ) -> tuple[Float[Tensor, "b v m 2"], Float[Tensor, "b v m"]]:
        """Return pixels and depths (m) of points."""
        turned = points[:, None] @ self._by_frame[..., :3].mT + self._by_frame[:, :, None, :, 3]
        depth = turned[..., 2]
        depth = torch.where(depth.abs() > 1e-6, depth, 1e-6)
        return turned[..., :2] / depth[..., None], depth


Observation = Positions | Pixels
"""What the solver takes: `select` some frames, and `at` points give cost, gradient and information."""
