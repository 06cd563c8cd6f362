"""The settings of the cluster stage."""

from dataclasses import dataclass
from typing import Literal

from pmnet.body.parts import PartWeights


@dataclass(frozen=True)
class Cluster:
    """The prototype memory (stage `cluster`, Algorithm 1).

    `single` is what the memory with one prototype holds: "mean", the mean of the training bodies, or the
    body of a file, a memory or SPIN's smpl_mean_params.npz.
    """

    k: int
    limb_weight: float
    part_weights: PartWeights
    max_iterations: int
    tolerance: float
    seed: int
    init: Literal["random", "kmeans++"]
    restarts: int
    single: str
