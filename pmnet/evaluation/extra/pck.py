"""PCK: the share of joints nearer to the truth than a threshold (MPI-INF-3DHP: 150 mm)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pmnet.core.ranges import Weight
from pmnet.evaluation.extra import Comparison
from pmnet.evaluation.metrics import correct_joints


@dataclass(frozen=True)
class Options:
    """The distance below which a joint is correct."""

    threshold_mm: Weight


def measure(comparison: Comparison, options: Options) -> Float[Tensor, "b"]:
    """Return the per cent of the known joints that are nearer to the truth than `threshold_mm`.

    Where all samples have equally many joints, the mean over samples is the share of all joints, as in
    the evaluation of MPI-INF-3DHP.
    """
    c = comparison
    correct = correct_joints(c.pred_joints, c.true_joints, options.threshold_mm) & c.known
    return 100 * correct.sum(1) / c.known.sum(1)
