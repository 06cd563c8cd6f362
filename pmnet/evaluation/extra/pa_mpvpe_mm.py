"""PA-MPVPE: MPVPE after the similarity that fits the vertices best."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body.distance import mean_distance_mm
from pmnet.evaluation.extra import Comparison
from pmnet.evaluation.metrics import similarity_align


@dataclass(frozen=True)
class Options:
    """There are none."""


def measure(comparison: Comparison, options: Options) -> Float[Tensor, "b"]:
    """Return the mean distance (mm) of the aligned vertices; NaN where the true bodies are not known."""
    pred, true = comparison.pred_vertices, comparison.true_vertices
    if pred is None or true is None:
        return torch.full_like(comparison.pred_joints[:, 0, 0], torch.nan)
    return mean_distance_mm(similarity_align(pred, true), true)
