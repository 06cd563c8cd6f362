"""The five terms of the loss (Eqs. 2-6), each a mean over the samples that have its ground truth."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from pmnet.body import BodyModel, BodyParams
from pmnet.camera import project
from pmnet.network import Prediction
from pmnet.params import LossWeights


@dataclass(frozen=True)
class Truth:
    """The ground truth of a batch, with flags for what a sample has."""

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
    pred: Prediction, scores: Float[Tensor, "b k"], truth: Truth, body: BodyModel
) -> dict[str, Float[Tensor, ""]]:
    """Return the terms `keypoints_3d`, `keypoints_2d`, `pose`, `betas` and `prototype`."""
    joints = body.joints(pred.params)
    rooted = joints - joints[:, :1]
    has_3d = truth.has_keypoints_3d[:, None, None]
    weight_3d = torch.where(has_3d, truth.keypoints_3d[..., 3:], 0)
    has_smpl = truth.has_smpl[:, None]
    points = project(joints, pred.camera)
    poses = pred.params.rotmats.flatten(1), truth.params.rotmats.flatten(1)
    return {
        "keypoints_3d": masked_square(rooted, truth.keypoints_3d[..., :3], weight_3d),
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
    each = cross_entropy(scores, truth.prototype, reduction="none")
    return masked_mean(each, truth.has_smpl)
