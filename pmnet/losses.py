"""The five terms of the loss (Eqs. 2-6), each a mean over the samples that have its ground truth.

The joints are those that the ground truth has: the skeleton's 24, or the annotated J24, which are made
from the vertices (J = J V^T, section 3.1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

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

Everywhere = Callable[[Tensor], Tensor]  # a number of this process -> its mean over all processes

TERMS: Final = ("keypoints_3d", "keypoints_2d", "pose", "betas", "prototype")


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


@dataclass(frozen=True)
class Classes:
    """What the classifier is to say for the samples of each prototype, and how much each counts.

    `targets` are probabilities: one prototype is right (the paper), or those near it a little as well.
    """

    targets: Float[Tensor, "k k"]
    weights: Float[Tensor, "k"]

    @staticmethod
    def plain(k: int, device: torch.device | None = None) -> "Classes":
        """Return the paper's: one prototype is right, all count alike (Eq. 5)."""
        return Classes(torch.eye(k, device=device), torch.ones(k, device=device))


def alone(value: Tensor) -> Tensor:
    """Return a number as its mean over all processes, where there is but one."""
    return value


def loss_terms(
    pred: Prediction,
    scores: Float[Tensor, "b k"],
    truth: Truth,
    body: BodyModel,
    joint_set: JointSet,
    classes: Classes | None = None,
    noise: float = 0.0,
    everywhere: Everywhere = alone,
) -> dict[str, Float[Tensor, ""]]:
    """Return the TERMS: those of the paper, or with other `classes`, or Balanced MSE with a `noise`.

    Where processes share a batch the mean of their terms is that of the batch, for weights are summed
    `everywhere`; only Balanced MSE compares the samples of one process alone.
    """
    classes = classes or Classes.plain(scores.shape[1], scores.device)
    on_skeleton = joint_set == "smpl24"
    params = pred.params
    joints = body.joints(params) if on_skeleton else body.keypoints(body.vertices(params))
    rooted, true_rooted, weight_3d = _rooted(joints, truth, joint_set)
    has_smpl = truth.has_smpl[:, None]
    points = project(joints, pred.camera)
    poses = pred.params.rotmats.flatten(1), truth.params.rotmats.flatten(1), has_smpl
    square = partial(masked_square, everywhere=everywhere)
    return {
        "keypoints_3d": square(rooted, true_rooted, weight_3d),
        "keypoints_2d": square(points, *truth.keypoints_2d.split([2, 1], 2)),
        "pose": balanced_square(*poses, noise, everywhere) if noise else square(*poses),
        "betas": square(pred.params.betas, truth.params.betas, has_smpl),
        "prototype": _classification(scores, truth, classes, everywhere),
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
    known = known & (_hips(confidence) > 0).all(1, keepdim=True)
    middles = [_hips(points).mean(1, keepdim=True) for points in (joints, true)]
    return joints - middles[0], true - middles[1], torch.where(known, confidence, 0)


def _hips(points: Float[Tensor, "b 24 c"]) -> Float[Tensor, "b 2 c"]:
    """Return the hips of J24; an index made of numbers would not go into a CUDA graph."""
    return torch.stack([points[:, joint] for joint in J24_HIPS], 1)


def masked_square(
    pred: Float[Tensor, "*b n"],
    true: Float[Tensor, "*b n"],
    weights: Tensor,
    everywhere: Everywhere = alone,
) -> Float[Tensor, ""]:
    """Return the mean squared difference by `weights`, which broadcast.

    Where the weight is 0 the truth may be anything, NaN included: it does not reach the gradient.
    """
    kept = torch.where(weights.expand_as(true) > 0, true, pred.detach())
    return masked_mean((pred - kept).square(), weights, everywhere)


def masked_mean(
    values: Float[Tensor, "*b n"], weights: Tensor, everywhere: Everywhere = alone
) -> Float[Tensor, ""]:
    """Return the mean of `values` by `weights`, which broadcast; 0 where all weights are 0."""
    weights = weights.to(values.dtype).expand_as(values)
    return (values * weights).sum() / everywhere(weights.sum()).clamp_min(1e-6)


def balanced_square(
    pred: Float[Tensor, "b n"],
    true: Float[Tensor, "b n"],
    known: Bool[Tensor, "b 1"],
    noise: float,
    everywhere: Everywhere = alone,
) -> Float[Tensor, ""]:
    """Return the Balanced MSE of a batch (Ren et al. 2022, Eq. 9), a number of n as the plain one is.

    Each prediction must be nearer to its own truth than to the others of the batch, with Gaussian
    noise of standard deviation `noise`: so common truths do not draw all predictions to them.
    """
    kept = torch.where(known, true, 0.0)
    apart = pred.square().sum(1)[:, None] - 2 * pred @ kept.T + kept.square().sum(1)[None]
    scores = torch.where(known.T, -apart / (2 * noise**2), -torch.inf)
    own = torch.arange(len(pred), device=pred.device)
    each = cross_entropy(torch.where(known, scores, 0.0), own, reduction="none")
    return masked_mean(each, known[:, 0], everywhere) * 2 * noise**2 / pred.shape[1]


def _classification(
    scores: Tensor, truth: Truth, classes: Classes, everywhere: Everywhere
) -> Float[Tensor, ""]:
    """Return the cross-entropy (Eq. 5) against the targets of each sample's prototype."""
    if scores.shape[1] == 1:
        return scores.new_zeros(())
    prototype = truth.prototype.clamp_min(0)
    each = -(classes.targets[prototype] * scores.log_softmax(1)).sum(1)
    return masked_mean(each, truth.has_smpl * classes.weights[prototype], everywhere)
