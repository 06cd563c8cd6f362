"""How sure the joints of a fit are: their posterior covariance, from the normal matrix of the last step.

With the noise of points, the pose prior and the betas' prior as Gaussians, a fit is the mode of a posterior
whose covariance is the inverse of the Gauss-Newton matrix (Laplace's approximation). The noise is measured:
the residuals of a subject over the unknowns that they leave free. The shape is the subject's, so that all
frames that it was fitted to make it surer.
"""

from dataclasses import dataclass, replace
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.fitting.jacobian import PointJacobian
from pmnet.fitting.observations import Observation
from pmnet.fitting.options import FitOptions
from pmnet.fitting.points import BodyPoints, joint_points
from pmnet.fitting.prior import PosePrior
from pmnet.fitting.solver import Placed, Solver, solved_by

SAMPLED: Final = 24  # frames that noise and shape are measured on
LEAST_NOISE: Final = 0.2  # of the noise that the options say: below it a few residuals were lucky


@dataclass(frozen=True)
class Uncertainty:
    """Covariances (m^2) of the 24 joints of T frames; `noise` is the measured over the expected noise."""

    covariance: Float[Tensor, "t 24 3 3"]
    noise: float

    @property
    def sigma_mm(self) -> Float[Tensor, "t 24"]:
        """Return the root of the expected squared distance of each joint from the truth."""
        return 1000 * self.covariance.diagonal(dim1=2, dim2=3).sum(2).clamp(min=0).sqrt()

    def of_rows(self, rows: Int[Tensor, "t"], known: Bool[Tensor, "t"]) -> "Uncertainty":
        """Return the uncertainty of some frames, NaN for those that are not `known`."""
        covariance = torch.where(known[:, None, None, None], self.covariance[rows], torch.nan)
        return Uncertainty(covariance, self.noise)


class JointUncertainty:
    """Measures the uncertainty of fits to one set of points."""

    def __init__(
        self, body: BodyModel, points: BodyPoints, prior: PosePrior, options: FitOptions
    ) -> None:
        self._solver = Solver(body, points, prior, options, moves_all=True)
        self._joints = PointJacobian(body, joint_points(body), moves_all=True)

    def of_shape(self, placed: Placed, seen: Observation) -> Float[Tensor, "10 10"]:
        """Return the covariance of the betas of one subject, which these frames gave."""
        noise = self.noise(placed, seen)
        rows = _spread_out(len(placed), SAMPLED, placed.translation.device)
        system = self._solver.matrices(placed[rows], _scaled(seen.select(rows), noise))
        reduced = system.shape - system.mixed.mT @ solved_by(system.factor, system.mixed)
        eye = torch.eye(10).to(reduced)
        betas = self._solver.options.betas * eye
        # all frames have their say, the prior once
        information = (reduced - betas).mean(0) * len(placed) + betas
        return torch.linalg.inv(information + 1e-6 * eye)

    def noise(self, placed: Placed, seen: Observation) -> Float[Tensor, ""]:
        """Return the measured over the expected noise of points."""
        rows = _spread_out(len(placed), SAMPLED, placed.translation.device)
        placed, seen = placed[rows], seen.select(rows)
        cost, count = self._solver.data_cost(placed, seen)
        system = self._solver.matrices(placed, seen)
        free = torch.einsum(
            "bii->b", solved_by(system.factor, system.data)
        )  # unknowns that the points determine
        left = (count - free).clamp(min=0.1 * count).sum()
        return (2 * cost.sum() / left.clamp(min=1)).sqrt().clamp(min=LEAST_NOISE)

    def of_frames(
        self,
        placed: Placed,
        seen: Observation,
        noise: Float[Tensor, ""],
        shape: Float[Tensor, "10 10"],
    ) -> Float[Tensor, "t 24 3 3"]:
        """Return the covariances (m^2) of the joints of some frames."""
        system = self._solver.matrices(placed, _scaled(seen, noise))
        at = self._joints.forward(placed.params)
        by_motion = self._joints.by_motion(at)  # b d 72
        half = torch.linalg.solve_triangular(system.factor, by_motion, upper=False)
        half = half.unflatten(2, (3, -1))
        covariance = torch.einsum("bdim,bdjm->bmij", half, half)
        # a change of shape moves joints, and poses follow it
        follow = solved_by(system.factor, system.mixed)
        by_shape = self._joints.by_shape(at) - follow.mT @ by_motion
        by_shape = by_shape.unflatten(2, (3, -1))
        return covariance + torch.einsum("bkim,kl,bljm->bmij", by_shape, shape, by_shape)


def _scaled(seen: Observation, noise: Float[Tensor, ""]) -> Observation:
    """Return an observation with the noise that was measured."""
    return replace(seen, weights=seen.weights / noise**2)


def _spread_out(count: int, most: int, device: torch.device) -> Int[Tensor, "n"]:
    """Return up to `most` rows, evenly spread."""
    return torch.linspace(0, count - 1, min(count, most), device=device).round().long()
