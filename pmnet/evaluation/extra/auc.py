"""AUC: the mean of PCK over thresholds (MPI-INF-3DHP: 0, 5, ..., 150 mm)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor

from pmnet.core.ranges import Weight
from pmnet.evaluation.extra import Comparison, pck


@dataclass(frozen=True)
class Options:
    """The largest threshold, and the number of thresholds from 0 to it (150 and 31)."""

    threshold_mm: Weight
    steps: Annotated[int, Interval(ge=1, le=1000)]


def measure(comparison: Comparison, options: Options) -> Float[Tensor, "b"]:
    """Return the mean of PCK (per cent) at equally spaced thresholds.

    No joint is nearer than 0 mm, so 31 thresholds give 96.8 at most, as in the field's code.
    """
    last = options.steps - 1
    thresholds = [options.threshold_mm * step / max(last, 1) for step in range(options.steps)]
    shares = [pck.measure(comparison, pck.Options(threshold)) for threshold in thresholds]
    return torch.stack(shares).mean(0)
