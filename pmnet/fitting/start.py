"""The start of a fit in closed form: joints from points, then a rotation per part of the body.

Joints are weighted sums of the points that are seen, as in kriging: the weights are those that err least over
posed bodies, and sum to 1, so that they turn and move with the points. Missing points are left out of the
sums exactly. Each part is then turned (Kabsch 1976) so that its bones and points lie on what was seen; where
they leave a turn open, as two joints do, the mean pose of the prior decides.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import PARENTS
from pmnet.fitting.points import BodyPoints
from pmnet.fitting.prior import PosePrior
from pmnet.fitting.rotating import nearest_rotation
from pmnet.fitting.solver import Placed, solved_by

ANYWHERE_M2: Final = 1e4  # variance of where a body stands: far larger than a body
NOISE_M2: Final = 1e-4  # variance of a point around its place on the body
OWN: Final = 0.5  # a point belongs to a joint that has more than this of its weight
PRIOR_M2: Final = 2e-4  # weight of the mean pose in the Kabsch sum
FAR, FAR_M = 4.0, 0.2  # a point is far by this many medians, and by this many metres
FEWEST: Final = 3  # points that a start needs


@dataclass(frozen=True)
class JointMap:
    """Covariances (m^2) of points with each other and with the 24 joints, over posed bodies."""

    points: Float[Tensor, "m m"]
    joints: Float[Tensor, "m 24"]

    def joints_of(
        self, targets: Float[Tensor, "b m 3"], weights: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b 24 3"]:
        """Return the joints (m) that points with a weight above 0 show; each frame needs one such point."""
        seen = (weights > 0).to(self.points)
        eye = torch.eye(len(self.points)).to(self.points)
        both = seen[:, :, None] * seen[:, None, :]
        matrix = both * self.points + (NOISE_M2 + 1 - seen)[:, :, None] * eye
        shares = solved_by(torch.linalg.cholesky(matrix), seen[..., None] * self.joints)
        shares = shares / shares.sum(1, keepdim=True)
        return (shares.mT @ (seen[..., None] * targets.to(shares))).to(targets)


def learn_joint_map(body: BodyModel, points: BodyPoints, poses: BodyParams) -> JointMap:
    """Return the map from points to joints that errs least over these bodies."""
    placed = points.posed(body, poses).double()
    joints = body.joints(poses).double()
    both = torch.cat([placed, joints], 1)
    both = both - both.mean(1, keepdim=True)
    covariance = torch.einsum("bic,bjc->ij", both, both) / (3 * len(both)) + ANYWHERE_M2
    m = len(points)
    return JointMap(covariance[:m, :m], covariance[:m, m:])


class Starter:
    """Starts fits of a body to points."""

    def __init__(
        self, body: BodyModel, points: BodyPoints, prior: PosePrior, poses: BodyParams
    ) -> None:
        self._body, self._prior = body, prior
        self._map = learn_joint_map(body, points, poses)
        zero = points.weight.new_zeros(1, 10)
        self._rest_joints = body.rest_joints(zero)[0]
        self._points = points
        self._rest_points = points.rest(zero)[0]
        owners = points.lever_weights.new_zeros(len(PARENTS), len(points))
        owners.index_put_((points.joint, points.point), points.weight, accumulate=True)
        self._owned = owners > OWN

    def __call__(self, targets: Float[Tensor, "b m 3"], weights: Float[Tensor, "b m"]) -> Placed:
        """Return bodies of mean shape near the points (m) that have a weight above 0.

        Where points lie far from the start, as points with a wrong label do, it is made again without them.
        """
        targets = torch.where(weights[..., None] > 0, targets, 0)
        placed = self._placed(targets, weights)
        off = self._points.posed(self._body, placed.params) + placed.translation[:, None] - targets
        off = torch.where(weights > 0, off.norm(dim=2), torch.nan)
        far = off > (FAR * off.nanmedian(1, keepdim=True)[0]).clamp(min=FAR_M)
        rows = far.any(1).nonzero()[:, 0]
        if len(rows) == 0:
            return placed
        again = self._placed(targets[rows], torch.where(far[rows], 0, weights[rows]))
        order = torch.arange(len(targets), device=rows.device)
        order[rows] = len(targets) + torch.arange(len(rows), device=rows.device)
        return Placed.cat([placed, again])[order]

    def _placed(self, targets: Float[Tensor, "b m 3"], weights: Float[Tensor, "b m"]) -> Placed:
        joints = self._map.joints_of(targets, weights)
        local: list[Tensor] = []
        world: list[Tensor] = []
        for joint, parent in enumerate(PARENTS):
            mean = self._mean(joint, parent, world, joints)
            turn = self._turned(joint, joints, targets, weights, mean)
            world.append(turn)
            local.append(turn if parent < 0 else world[parent].mT @ turn)
        betas = targets.new_zeros(len(targets), 10)
        params = BodyParams(torch.stack(local, 1), betas)
        return Placed(params, (joints - self._body.joints(params)).mean(1))

    def _mean(self, joint: int, parent: int, world: list[Tensor], joints: Tensor) -> Tensor:
        if parent < 0:
            return torch.eye(3, dtype=joints.dtype, device=joints.device).expand(len(joints), 3, 3)
        return world[parent] @ self._prior.mean_pose[joint - 1]

    def _turned(
        self, joint: int, joints: Tensor, targets: Tensor, weights: Tensor, mean: Tensor
    ) -> Float[Tensor, "b 3 3"]:
        """Return the world rotations of a joint that put its bones and points onto what was seen."""
        children = [child for child, parent in enumerate(PARENTS) if parent == joint]
        rest = self._rest_joints
        spread = torch.einsum(
            "bni,nj->bij", joints[:, children] - joints[:, [joint]], rest[children] - rest[joint]
        )
        owned = self._owned[joint]
        if owned.any():
            arms = (targets[:, owned] - joints[:, [joint]]) * weights[:, owned, None].clamp(max=1)
            spread = spread + torch.einsum(
                "bni,nj->bij", arms, self._rest_points[owned] - rest[joint]
            )
        least = 0.0 if joint == 0 else PRIOR_M2
        return nearest_rotation(spread + least * mean)
