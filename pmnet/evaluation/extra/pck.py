"""PCK: the share of joints within a distance of the truth (Mehta et al. 2017 take 150 mm)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pmnet.core.ranges import Weight
from pmnet.evaluation.extra import Comparison


@dataclass(frozen=True)
class Options:
    """The largest distance of a correct joint."""

    threshold_mm: Weight


def measure(comparison: Comparison, options: Options) -> Float[Tensor, "b"]:
    """Return the per cent of the known joints that are within `threshold_mm` of the truth."""
    gaps = (comparison.pred_joints - comparison.true_joints).norm(dim=-1)
    correct = (gaps * 1000 <= options.threshold_mm) & comparison.known
    return 100 * correct.sum(1) / comparison.known.sum(1)
