"""The settings of the cluster stage."""

from dataclasses import dataclass
from typing import Literal

from pmnet.body.parts import PartWeights


@dataclass(frozen=True)
class Cluster:
    """The prototype memory (stage `cluster`, Algorithm 1)."""

    k: int
    limb_weight: float
    part_weights: PartWeights
    max_iterations: int
    tolerance: float
    seed: int
    init: Literal["random", "kmeans++"]
    restarts: int
