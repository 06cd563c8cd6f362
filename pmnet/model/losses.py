"""The five terms of the loss (Eqs. 2-5), each a mean over the samples that have its ground truth.

The joints are those of the ground truth: the 24 of the skeleton, or the annotated J24, which are regressed
from the vertices (J = J V^T, section 3.1).
"""

from dataclasses import dataclass
from typing import Final, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import project
from pmnet.body.keypoints import J24_HIPS
from pmnet.core.ranges import Weight
from pmnet.data.samples import JointSet
from pmnet.model.network import Prediction


@dataclass(frozen=True)
class LossWeights:
    """Weights of the five terms of the loss; `regression_scale` multiplies all but `prototype`.

    `camera` is the weight of SPIN's camera regulariser (1 there; the paper has none, 0). `mean_over` says
    what the sums of squares of keypoints are divided by: by the numbers that are known, or by all of the
    samples, as in SPIN (98 numbers per sample in 2D, 72 per sample with 3D joints).
    """

    keypoints_3d: Weight
    keypoints_2d: Weight
    pose: Weight
    betas: Weight
    prototype: Weight
    regression_scale: Weight
    camera: Weight
    mean_over: Literal["known", "all"]


TERMS: Final = ("keypoints_3d", "keypoints_2d", "pose", "betas", "prototype")
SPIN_2D: Final = (
    49 * 2
)  # numbers of a sample in SPIN: 25 joints of OpenPose, which weigh 0, and J24
SPIN_3D: Final = 24 * 3
LEAST: Final = 1e-6  # a batch whose weights sum to less has no ground truth for a term


@dataclass(frozen=True)
class TrainingTargets:
    """The ground truth of a batch, with flags for what each sample has.

    `keypoints_3d` are metres and `keypoints_2d` crop coordinates, both with a confidence; `prototype` is
    the assigned one, -1 for a sample without SMPL.
    """

    params: BodyParams
    keypoints_3d: Float[Tensor, "b 24 4"]
    keypoints_2d: Float[Tensor, "b 24 3"]
    has_smpl: Bool[Tensor, "b"]
    has_keypoints_3d: Bool[Tensor, "b"]
    prototype: Int[Tensor, "b"]

    def __getitem__(self, rows: Int[Tensor, "n"]) -> "TrainingTargets":
        return TrainingTargets(*(value[rows] for value in vars(self).values()))

    def to(self, device: torch.device) -> "TrainingTargets":
        """Return a copy on another device."""
        return TrainingTargets(*(value.to(device) for value in vars(self).values()))


@dataclass(frozen=True)
class ClassTargets:
    """The target probabilities of the classifier, and the weight of a sample, by assigned prototype.

    In the paper the assigned prototype has probability 1; else prototypes near it may have a share.
    """

    targets: Float[Tensor, "k k"]
    weights: Float[Tensor, "k"]

    @staticmethod
    def plain(k: int, device: torch.device | None = None) -> "ClassTargets":
        """Return the targets of the paper: one prototype is right, and all samples count equally (Eq. 4)."""
        return ClassTargets(torch.eye(k, device=device), torch.ones(k, device=device))


def term_weights(
    truth: TrainingTargets, joint_set: JointSet, classes: ClassTargets
) -> dict[str, Float[Tensor, "b *n"]]:
    """Return the weight of each number in each of the TERMS: 0 where the ground truth is not known.

    J24 is compared relative to the middle of the hips, so a sample without both hips has no 3D joints.
    """
    confidence = truth.keypoints_3d[..., 3:]
    known = truth.has_keypoints_3d[:, None, None]
    if joint_set == "j24":
        known = known & (_hips(confidence) > 0).all(1, keepdim=True)
    has_smpl = truth.has_smpl[:, None].to(confidence.dtype)
    return {
        "keypoints_3d": torch.where(known, confidence, 0).expand(-1, -1, 3),
        "keypoints_2d": truth.keypoints_2d[..., 2:].expand(-1, -1, 2),
        "pose": has_smpl.expand(-1, 24 * 9),
        "betas": has_smpl.expand(-1, 10),
        "prototype": truth.has_smpl * classes.weights[truth.prototype.clamp_min(0)],
    }


def loss_terms(
    pred: Prediction,
    scores: Float[Tensor, "b k"],
    truth: TrainingTargets,
    body: BodyModel,
    joint_set: JointSet,
    classes: ClassTargets | None = None,
    noise: float = 0.0,
    totals: Float[Tensor, "5"] | None = None,
    mean_over: Literal["known", "all"] = "known",
) -> dict[str, Float[Tensor, ""]]:
    """Return the TERMS of the loss (Eqs. 2-4).

    The paper has plain `classes` and `noise` 0; with a noise, the pose term is the Balanced MSE. Where
    processes share a batch, `totals` are the sums of `term_totals` over all processes, and the terms of
    the processes add up to those of the batch; only Balanced MSE is limited to samples of one process.
    """
    classes = classes or ClassTargets.plain(scores.shape[1], scores.device)
    params = pred.params
    joints = body.joints(params) if joint_set == "smpl24" else body.keypoints(body.vertices(params))
    rooted, true_rooted = _rooted(joints, truth, joint_set)
    points = project(joints, pred.camera)
    poses = params.rotmats.flatten(1), truth.params.rotmats.flatten(1)
    weights = term_weights(truth, joint_set, classes)
    sums = {
        "keypoints_3d": weighted_square(rooted, true_rooted, weights["keypoints_3d"]),
        "keypoints_2d": weighted_square(
            points, truth.keypoints_2d[..., :2], weights["keypoints_2d"]
        ),
        "pose": balanced_square(*poses, truth.has_smpl, noise)
        if noise
        else weighted_square(*poses, weights["pose"]),
        "betas": weighted_square(params.betas, truth.params.betas, weights["betas"]),
        "prototype": _classification(scores, truth, classes, weights["prototype"]),
    }
    if totals is None:
        totals = term_totals(weights, truth, mean_over)
    return {name: sums[name] / totals[at].clamp_min(LEAST) for at, name in enumerate(TERMS)}


def term_totals(
    weights: dict[str, Float[Tensor, "b *n"]],
    truth: TrainingTargets,
    mean_over: Literal["known", "all"],
) -> Float[Tensor, "5"]:
    """Return what the sums of the TERMS are divided by; see `LossWeights.mean_over`."""
    totals = {name: weights[name].sum() for name in TERMS}
    if mean_over == "all":
        samples = torch.ones_like(truth.has_keypoints_3d, dtype=torch.float32).sum()
        totals["keypoints_2d"] = SPIN_2D * samples
        totals["keypoints_3d"] = SPIN_3D * truth.has_keypoints_3d.float().sum()
    return torch.stack([totals[name] for name in TERMS])


def camera_square(camera: Float[Tensor, "b 3"]) -> Float[Tensor, "b"]:
    """Return SPIN's regulariser of each camera, exp(-10 s)^2: it keeps the scale s above zero."""
    return torch.exp(-10 * camera[:, 0]).square()


def total_loss(
    terms: dict[str, Tensor], weights: LossWeights, camera: Float[Tensor, ""] | None = None
) -> Float[Tensor, ""]:
    """Return the weighted sum of the terms (Eq. 5), and of the mean `camera_square` if it is given."""
    regression = (
        weights.keypoints_3d * terms["keypoints_3d"]
        + weights.keypoints_2d * terms["keypoints_2d"]
        + weights.pose * terms["pose"]
        + weights.betas * terms["betas"]
    )
    if camera is not None:
        regression = regression + weights.camera * camera
    return weights.regression_scale * regression + weights.prototype * terms["prototype"]


def _rooted(
    joints: Float[Tensor, "b 24 3"], truth: TrainingTargets, joint_set: JointSet
) -> tuple[Float[Tensor, "b 24 3"], Float[Tensor, "b 24 3"]]:
    """Return predicted and true joints, each relative to its own origin.

    The origin is the pelvis of the skeleton, to which the true joints are relative already. For J24 it is
    the middle of the hips, of both the predicted and the true joints (SPIN's rule).
    """
    true = truth.keypoints_3d[..., :3]
    if joint_set == "smpl24":
        return joints - joints[:, :1], true
    middles = [_hips(points).mean(1, keepdim=True) for points in (joints, true)]
    return joints - middles[0], true - middles[1]


def _hips(points: Float[Tensor, "b 24 c"]) -> Float[Tensor, "b 2 c"]:
    """Return the hips of J24; indexing with a list would not work in a CUDA graph."""
    return torch.stack([points[:, joint] for joint in J24_HIPS], 1)


def weighted_square(
    pred: Float[Tensor, "*b n"], true: Float[Tensor, "*b n"], weights: Float[Tensor, "*b n"]
) -> Float[Tensor, ""]:
    """Return the weighted sum of squared differences.

    Where the weight is 0, `true` may be anything, even NaN: it does not reach the gradient.
    """
    kept = torch.where(weights > 0, true, pred.detach())
    return ((pred - kept).square() * weights).sum()


def balanced_square(
    pred: Float[Tensor, "b n"], true: Float[Tensor, "b n"], known: Bool[Tensor, "b"], noise: float
) -> Float[Tensor, ""]:
    """Return the Balanced MSE of a batch (Ren et al. 2022, Eq. 9), summed over samples and numbers.

    Each prediction must be nearer to its own target than to the other targets of the batch, under Gaussian
    noise of standard deviation `noise`, so that common targets do not attract all predictions.
    """
    kept = torch.where(known[:, None], true, 0.0)
    apart = pred.square().sum(1)[:, None] - 2 * pred @ kept.T + kept.square().sum(1)[None]
    scores = torch.where(known[None], -apart / (2 * noise**2), -torch.inf)
    own = torch.arange(len(pred), device=pred.device)
    each = cross_entropy(torch.where(known[:, None], scores, 0.0), own, reduction="none")
    return (each * known).sum() * 2 * noise**2


def _classification(
    scores: Float[Tensor, "b k"],
    truth: TrainingTargets,
    classes: ClassTargets,
    weights: Float[Tensor, "b"],
) -> Float[Tensor, ""]:
    """Return the sum of the cross-entropies (Eq. 4) against the targets of each sample's prototype."""
    if scores.shape[1] == 1:
        return scores.new_zeros(())
    prototype = truth.prototype.clamp_min(0)
    return (-(classes.targets[prototype] * scores.log_softmax(1)).sum(1) * weights).sum()
