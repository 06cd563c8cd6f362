"""The settings of the cluster stage."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from pmnet.body.parts import PartWeights
from pmnet.core.ranges import Count, Seed, Share, Weight


@dataclass(frozen=True)
class Cluster:
    """The prototype memory (stage `cluster`, Algorithm 1).

    `single` is what the memory with one prototype holds: "mean", the mean of the training bodies, or the
    body of a file, a memory or SPIN's smpl_mean_params.npz.
    """

    k: Count
    limb_weight: Weight
    part_weights: PartWeights
    max_iterations: Annotated[int, Interval(ge=0, le=1_000_000)]
    tolerance: Share
    seed: Seed
    init: Literal["random", "kmeans++"]
    restarts: Annotated[int, Interval(ge=1, le=10_000)]
    single: str
