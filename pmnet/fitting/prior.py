"""What is known of a pose before a point is seen: Gaussians around mean poses, and limits of joints.

A pose is written as u_j = log(M_j^T R_j) for the 23 body joints, the rotation from a mean pose M. With one
mean this is a Gaussian prior; with the prototypes of a memory it is the paper's idea used for fitting: a
body is pulled to its nearest prototype, by the spread of the poses around their prototypes.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body.parts import MIRRORED_JOINTS, mirror_rotmats
from pmnet.body.rotations import mean_rotation, moments_of_rotmats, unitquat_to_rotmat
from pmnet.core.errors import InputError
from pmnet.fitting.rotating import log

BODY_JOINTS: Final = 23
FEWEST: Final = 100  # poses that a covariance of 69 numbers needs
FLOOR_RAD: Final = 0.05  # added to the spread of poses that are like those to be fitted
WIDE_FLOOR_RAD: Final = 0.2  # the same for poses that only roughly are
LIMIT_SHARE: Final = 0.001  # of the poses, that may lie outside of a limit on either side


@dataclass(frozen=True)
class PosePrior:
    """K mean poses with one precision (rad^-2) and limits (rad) of u = log(M^T R) around mean 0.

    `limit_mean` is the pose that limits are measured from.
    """

    means: Float[Tensor, "k 23 3 3"]
    precision: Float[Tensor, "69 69"]
    limit_mean: Float[Tensor, "23 3 3"]
    low: Float[Tensor, "69"]
    high: Float[Tensor, "69"]

    def to(self, device: torch.device | torch.dtype) -> "PosePrior":
        """Return a copy on another device or in another precision."""
        return PosePrior(**{name: value.to(device) for name, value in vars(self).items()})

    @property
    def mean_pose(self) -> Float[Tensor, "23 3 3"]:
        """Return the one mean, or the pose in the middle of all means."""
        return self.limit_mean

    def nearest(self, body_pose: Float[Tensor, "b 23 3 3"]) -> Int[Tensor, "b"]:
        """Return the mean with the smallest Mahalanobis distance to each pose."""
        if len(self.means) == 1:
            return torch.zeros(len(body_pose), dtype=torch.long, device=body_pose.device)
        distances = [self._distance(body_pose, mean) for mean in self.means]
        return torch.stack(distances, 1).argmin(1)

    def _distance(
        self, body_pose: Float[Tensor, "b 23 3 3"], mean: Float[Tensor, "23 3 3"]
    ) -> Float[Tensor, "b"]:
        u = log(mean.mT @ body_pose).flatten(1)
        return ((u @ self.precision) * u).sum(1)


def learn_prior(
    body_pose: Float[Tensor, "n 23 3 3"],
    floor_rad: float,
    means: Float[Tensor, "k 23 3 3"] | None = None,
) -> PosePrior:
    """Return the prior of poses, which are mirrored too; K prototypes may stand for the one mean.

    `floor_rad` is added to the spread of every joint, since what poses lack may still happen. With
    prototypes the precision is that of the poses around their nearest prototypes.
    Raises InputError for fewer than 100 poses.
    """
    if len(body_pose) < FEWEST:
        raise InputError(
            f"a pose prior needs {FEWEST} poses or more, and was given {len(body_pose)}; give more poses"
        )
    poses = torch.cat([body_pose, _mirrored(body_pose)])
    mean = unitquat_to_rotmat(mean_rotation(moments_of_rotmats(poses).mean(0))).to(poses.dtype)
    from_mean = log(mean.mT @ poses).flatten(1)
    floor = floor_rad**2 * torch.eye(3 * BODY_JOINTS, dtype=torch.float64, device=poses.device)
    precision = torch.linalg.inv(_second_moment(from_mean) + floor)
    if means is not None:
        prior = PosePrior(means, precision.to(poses.dtype), mean, from_mean[0], from_mean[0])
        own = means[prior.nearest(poses)]
        around = log(own.mT @ poses).flatten(1)
        precision = torch.linalg.inv(_second_moment(around) + floor)
    ordered = from_mean.sort(0)[0]
    cut = int(LIMIT_SHARE * len(ordered))
    return PosePrior(
        means=mean[None] if means is None else means,
        precision=precision.to(poses.dtype),
        limit_mean=mean,
        low=ordered[cut] - floor_rad,
        high=ordered[len(ordered) - 1 - cut] + floor_rad,
    )


def _second_moment(values: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    values = values.double()
    return values.T @ values / len(values)


def _mirrored(body_pose: Float[Tensor, "n 23 3 3"]) -> Float[Tensor, "n 23 3 3"]:
    root = torch.eye(3, dtype=body_pose.dtype, device=body_pose.device)
    whole = torch.cat([root.expand(len(body_pose), 1, 3, 3), body_pose], 1)
    assert MIRRORED_JOINTS[0] == 0  # the root stays the root
    return mirror_rotmats(whole)[:, 1:]
