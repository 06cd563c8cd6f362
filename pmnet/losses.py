"""The five terms of the loss (Eqs. 2-6), each a mean over the samples that have its ground truth.

The joints are those that the ground truth has: the skeleton's 24, or the annotated J24, which are made
from the vertices (J = J V^T, section 3.1).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from pmnet.body import BodyModel, BodyParams
from pmnet.body.keypoints import J24_HIPS
from pmnet.camera import project
from pmnet.network import Prediction
from pmnet.params import LossWeights
from pmnet.samples import JointSet


@dataclass(frozen=True)
class Truth:
    """The ground truth of a batch, with flags for what a sample has; `prototype` is -1 without SMPL."""

    params: BodyParams
    keypoints_3d: Float[Tensor, "b 24 4"]
    keypoints_2d: Float[Tensor, "b 24 3"]
    has_smpl: Bool[Tensor, "b"]
    has_keypoints_3d: Bool[Tensor, "b"]
    prototype: Int[Tensor, "b"]

    def __getitem__(self, rows: Int[Tensor, "n"]) -> "Truth":
        return Truth(*(value[rows] for value in vars(self).values()))

    def to(self, device: torch.device) -> "Truth":
        """Return a copy on another device."""
        return Truth(*(value.to(device) for value in vars(self).values()))


def loss_terms(
    pred: Prediction,
    scores: Float[Tensor, "b k"],
    truth: Truth,
    body: BodyModel,
    joint_set: JointSet,
) -> dict[str, Float[Tensor, ""]]:
    """Return the terms `keypoints_3d`, `keypoints_2d`, `pose`, `betas` and `prototype`."""
    on_skeleton = joint_set == "smpl24"
    params = pred.params
    joints = body.joints(params) if on_skeleton else body.keypoints(body.vertices(params))
    rooted, true_rooted, weight_3d = _rooted(joints, truth, joint_set)
    has_smpl = truth.has_smpl[:, None]
    points = project(joints, pred.camera)
    poses = pred.params.rotmats.flatten(1), truth.params.rotmats.flatten(1)
    return {
        "keypoints_3d": masked_square(rooted, true_rooted, weight_3d),
        "keypoints_2d": masked_square(
            points, truth.keypoints_2d[..., :2], truth.keypoints_2d[..., 2:]
        ),
        "pose": masked_square(*poses, has_smpl),
        "betas": masked_square(pred.params.betas, truth.params.betas, has_smpl),
        "prototype": _classification(scores, truth),
    }


def total_loss(terms: dict[str, Tensor], weights: LossWeights) -> Float[Tensor, ""]:
    """Return the weighted sum of the terms (Eq. 6)."""
    regression = (
        weights.keypoints_3d * terms["keypoints_3d"]
        + weights.keypoints_2d * terms["keypoints_2d"]
        + weights.pose * terms["pose"]
        + weights.betas * terms["betas"]
    )
    return weights.regression_scale * regression + weights.prototype * terms["prototype"]


def _rooted(
    joints: Float[Tensor, "b 24 3"], truth: Truth, joint_set: JointSet
) -> tuple[Float[Tensor, "b 24 3"], Float[Tensor, "b 24 3"], Float[Tensor, "b 24 1"]]:
    """Return predicted and true joints, each from its own origin, and the weights of the true ones.

    The origin is the skeleton's pelvis, where the truth has it already; of J24 it is the middle of
    the hips on both sides (SPIN's rule). A sample whose hips are not both known has no 3D joints.
    """
    true, confidence = truth.keypoints_3d[..., :3], truth.keypoints_3d[..., 3:]
    known = truth.has_keypoints_3d[:, None, None]
    if joint_set == "smpl24":
        return joints - joints[:, :1], true, torch.where(known, confidence, 0)
    known = known & (confidence[:, J24_HIPS] > 0).all(1, keepdim=True)
    middles = [points[:, J24_HIPS].mean(1, keepdim=True) for points in (joints, true)]
    return joints - middles[0], true - middles[1], torch.where(known, confidence, 0)


def masked_square(
    pred: Float[Tensor, "*b n"], true: Float[Tensor, "*b n"], weights: Tensor
) -> Float[Tensor, ""]:
    """Return the mean squared difference by `weights`, which broadcast.

    Where the weight is 0 the truth may be anything, NaN included: it does not reach the gradient.
    """
    kept = torch.where(weights.expand_as(true) > 0, true, pred.detach())
    return masked_mean((pred - kept).square(), weights)


def masked_mean(values: Float[Tensor, "*b n"], weights: Tensor) -> Float[Tensor, ""]:
    """Return the mean of `values` by `weights`, which broadcast; 0 where all weights are 0."""
    weights = weights.to(values.dtype).expand_as(values)
    return (values * weights).sum() / weights.sum().clamp_min(1e-6)


def _classification(scores: Tensor, truth: Truth) -> Float[Tensor, ""]:
    if scores.shape[1] == 1:
        return scores.new_zeros(())
    each = cross_entropy(scores, truth.prototype, reduction="none", ignore_index=-1)
    return masked_mean(each, truth.has_smpl)
